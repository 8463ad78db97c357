/* cgo gives CFLAGS, and so `-include cgoheap.h`, to .S files too. */
    .text
    .globl assembled
assembled:
    ret
    .section .note.GNU-stack, "", @progbits
