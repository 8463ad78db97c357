/* Tables that compilers seldom or never write, and gcc's unwinder takes: the canonical frame address from any register, long
   expressions, the return address in a register or in a column of another number, more rules than there are registers, states
   remembered to any depth. Each function calls its argument, which allocates there. */
#define CGOHEAP_NO_REDIRECT
#include "reference.h"
#include <signal.h>
#include <ucontext.h>

typedef void call(void);

#define FUNCTION(name, body)                                                                                           \
    __asm__(".pushsection .text\n.type " #name ", @function\n" #name ":\n.cfi_startproc\n" body                        \
            "\n.cfi_endproc\n.size " #name ", .-" #name "\n.popsection\n");                                            \
    extern void name(call *function);

/* As _dl_runtime_resolve and the functions behind TLS descriptors do: the stack pointer is aligned, the register is all that
   leads back. */
#define CFA_FROM(name, register)                                                                                       \
    FUNCTION(name, "push %" #register "\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %" #register ", 0\n"                \
                   "mov %rsp, %" #register "\n.cfi_def_cfa_register %" #register "\n"                                  \
                   "sub $1000, %rsp\nand $-64, %rsp\ncall *%rdi\n"                                                     \
                   "mov %" #register ", %rsp\n.cfi_def_cfa_register %rsp\npop %" #register                             \
                   "\n.cfi_adjust_cfa_offset -8\n.cfi_restore %" #register "\nret")
CFA_FROM(cfa_from_rbx, rbx)
CFA_FROM(cfa_from_r12, r12)
CFA_FROM(cfa_from_r13, r13)
CFA_FROM(cfa_from_r14, r14)
CFA_FROM(cfa_from_r15, r15)
CFA_FROM(cfa_from_rbp, rbp)

/* rbx is the frame's address; the expression takes detours: dup, swap, xor, mul, div, mod, not, shra, a loop, and
   a jump over a wrong value. */
FUNCTION(by_expression,
         "push %rbx\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %rbx, 0\nmov %rsp, %rbx\n"
         ".cfi_escape 0x0f, 49,"
         "0x73, 16,"                          /* rbx + 16 */
         "0x12, 0x12, 0x27, 0x22,"            /* dup dup xor plus */
         "0x35, 0x33, 0x1e, 0x3f, 0x1c, 0x22," /* 5 * 3 - 15, plus */
         "0x31, 0x32, 0x16, 0x1c, 0x31, 0x1c, 0x22," /* 1 2 swap minus, 1 minus: 0; plus */
         "0x37, 0x38, 0x1b, 0x22,"            /* 7 / 8, plus */
         "0x39, 0x33, 0x1d, 0x22,"            /* 9 mod 3, plus */
         "0x31, 0x20, 0x31, 0x26, 0x32, 0x22, 0x31, 0x1c, 0x22," /* not 1 (-2) shra 1 (-1), plus 2, minus 1, plus */
         "0x33, 0x31, 0x1c, 0x12, 0x28, 0xfa, 0xff, 0x22," /* 3; loop: 1 minus dup, back unless 0; plus */
         "0x2f, 2, 0, 0x23, 99\n"             /* skip over plus 99 */
         "sub $1000, %rsp\nand $-64, %rsp\ncall *%rdi\n"
         "mov %rbx, %rsp\n.cfi_def_cfa %rsp, 16\npop %rbx\n.cfi_adjust_cfa_offset -8\n.cfi_restore %rbx\nret")

/* The return address is kept in r12, whose old value lies where it was. */
FUNCTION(return_address_in_register,
         "xchg %r12, (%rsp)\n.cfi_register %rip, %r12\n.cfi_offset %r12, -8\n"
         "sub $8, %rsp\n.cfi_adjust_cfa_offset 8\ncall *%rdi\nadd $8, %rsp\n.cfi_adjust_cfa_offset -8\n"
         "xchg %r12, (%rsp)\n.cfi_restore %rip\n.cfi_restore %r12\nret")

/* The caller's rbp is what an expression says, its value or where it lies. */
FUNCTION(frame_pointer_by_expression,
         "push %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_escape 0x10, 6, 2, 0x77, 0\n" /* at rsp + 0 */
         "sub $16, %rsp\n.cfi_adjust_cfa_offset 16\n.cfi_escape 0x10, 6, 2, 0x77, 16\n"
         "xor %ebp, %ebp\ncall *%rdi\n"
         "add $16, %rsp\n.cfi_adjust_cfa_offset -16\npop %rbp\n.cfi_adjust_cfa_offset -8\n.cfi_restore %rbp\nret")

#define TEN(x) x x x x x x x x x x
#define REMEMBER ".cfi_remember_state\n"
#define WRONG ".cfi_def_cfa %rbx, 1234\n.cfi_offset %rbp, -800\n"
#define RESTORE ".cfi_restore_state\n"
/* Three hundred states deep, with nonsense in between; and some that are never restored. */
FUNCTION(many_states,
         "push %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %rbp, 0\n"
         TEN(TEN(REMEMBER WRONG) TEN(REMEMBER) TEN(REMEMBER WRONG)) "nop\n"
         TEN(TEN(RESTORE) TEN(RESTORE) TEN(RESTORE)) REMEMBER WRONG RESTORE REMEMBER REMEMBER
         "mov %rsp, %rbp\n.cfi_def_cfa_register %rbp\n"
         "sub $80, %rsp\n"
         "call *%rdi\n"
         RESTORE RESTORE
         "leave\n.cfi_def_cfa %rsp, 8\n.cfi_restore %rbp\nret")

/* A rule for every register that the processor has had a number for, and those of vectors. */
#define FIVE_RULES(tens)                                                                                               \
    ".cfi_offset " #tens "0, -24\n.cfi_offset " #tens "1, -24\n.cfi_offset " #tens "2, -24\n.cfi_offset " #tens        \
    "3, -24\n.cfi_offset " #tens "4, -24\n"
FUNCTION(many_rules,
         "push %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %rbp, 0\n"
         ".cfi_undefined %rax\n.cfi_undefined %rcx\n.cfi_undefined %rdx\n.cfi_undefined %rsi\n.cfi_undefined %rdi\n"
         ".cfi_undefined %r8\n.cfi_undefined %r9\n.cfi_undefined %r10\n.cfi_undefined %r11\n.cfi_same_value %rbx\n"
         ".cfi_same_value %r12\n.cfi_same_value %r13\n.cfi_same_value %r14\n.cfi_same_value %r15\n"
         ".cfi_offset 17, -24\n.cfi_offset 18, -24\n.cfi_offset 19, -24\n"
         FIVE_RULES(2) FIVE_RULES(3) FIVE_RULES(4) FIVE_RULES(5) FIVE_RULES(6) FIVE_RULES(11) FIVE_RULES(12)
         "call *%rdi\npop %rbp\n.cfi_adjust_cfa_offset -8\n.cfi_restore %rbp\nret")

static NOINLINE void leaf(void);
static void (*const all[])(call *) = {
    cfa_from_rbx, cfa_from_r12, cfa_from_r13, cfa_from_r14, cfa_from_r15, cfa_from_rbp,
    by_expression, return_address_in_register, frame_pointer_by_expression, many_states, many_rules,
};
enum { N = sizeof all / sizeof *all };

static NOINLINE void leaf(void) { WALK(2003 + n_walks); }
static NOINLINE void all_inside_each_other(void) {
    static int depth = 0;
    if (depth == N) {
        leaf();
        return;
    }
    all[depth++](all_inside_each_other);
    __asm__ volatile("");
}

/* A signal comes where only r13 leads back: its value is what the kernel saved. */
FUNCTION(interrupted,
         "push %r13\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset %r13, 0\nmov %rsp, %r13\n.cfi_def_cfa_register %r13\n"
         "and $-64, %rsp\nud2\nmov %r13, %rsp\n.cfi_def_cfa_register %rsp\npop %r13\n.cfi_adjust_cfa_offset -8\n"
         ".cfi_restore %r13\nret")
static void skip(int number, siginfo_t *info, void *context) {
    (void)number, (void)info;
    leaf();
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

int main(void) {
    cgoheap_set_rate(1);
    for (int i = 0; i < N; i++) all[i](leaf);
    all_inside_each_other();
    struct sigaction action = {.sa_sigaction = skip, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &action, NULL);
    interrupted(NULL);
    compare_walks(N + 2);
    struct cgoheap_stats now = check_stats();
    CHECK(now.stacks_no_unwind_info + now.stacks_bad_unwind_info + now.stacks_unreadable + now.stacks_too_deep == 0);
    CHECK_NOTHING_LOST();
}
