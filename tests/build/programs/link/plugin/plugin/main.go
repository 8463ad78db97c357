// Command plugin is opened by the host beside it.
package main

/*
extern void belowCallback(void);
static void enter_go(void)
{
    belowCallback();
    __asm__ volatile(""); // keeps the call from becoming a jump
}
*/
import "C"

import "example.com/other"

// Leak loses 1,000 bytes of C memory.
func Leak() { other.Leak(1000) }

// LeakBelowCallback loses 2,000 bytes in C that was called by Go that was called by C that was called by Go.
func LeakBelowCallback() { C.enter_go() }

//export belowCallback
func belowCallback() { other.Leak(2000) }

func main() {}
