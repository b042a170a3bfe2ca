/* Signals as people write them. */
#pragma once

/*
 * A name with or without "SIG" in any case ("KILL", "sigrtmin+3"), or a number from 1 to 64.
 * Numbers are the kernel's: its SIGRTMIN is 34, of which a libc may hide some. -1: no signal.
 */
int signal_number(const char *text);
