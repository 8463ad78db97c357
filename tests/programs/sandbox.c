/* sandbox ERROR: a system call filter (or a kernel) answers the question whether a page can be read by an error of its own. Then
   nothing is known of the page, and nothing is read: here the stack of a hand-made switch ends where its mapping ends. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { STACK = 64 * 1024, PAGE = 4096 };

static NOINLINE void *allocate(size_t size) {
    void *block = cgoheap_malloc(size);
    __asm__ volatile("" : "+r"(block));
    return block;
}

/* As in stacks.c: the unwind table leads to `top`, behind which nothing can be read. */
__asm__(".pushsection .text\n"
        ".type call_on, @function\n"
        "call_on:\n"
        "  .cfi_startproc\n"
        "  push %rbx\n"
        "  .cfi_adjust_cfa_offset 8\n"
        "  mov %rsp, %rbx\n"
        "  mov %rdi, %rsp\n"
        "  mov %rdx, %rdi\n"
        "  call *%rsi\n"
        "  mov %rbx, %rsp\n"
        "  pop %rbx\n"
        "  .cfi_adjust_cfa_offset -8\n"
        "  ret\n"
        "  .cfi_endproc\n"
        ".size call_on, .-call_on\n"
        ".popsection\n");
extern void *call_on(void *top, void *(*function)(size_t), size_t size);

int main(int argc, char **argv) {
    CHECK(argc == 2);
    CHECK(cgoheap_set_rate(1) == CGOHEAP_OK);
    unsigned char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED);
    unsigned char *top = stack + STACK - PAGE;
    CHECK(mprotect(top, PAGE, PROT_NONE) == 0);
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigprocmask, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SIG_SETMASK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)atoi(argv[1])),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    void *block = call_on(top, allocate, 31);
    CHECK(block != NULL);
    struct cgoheap_stats now = check_stats();
    CHECK(now.live_objects == 1 && now.live_bytes == 31);
    cgoheap_free(block);
}
