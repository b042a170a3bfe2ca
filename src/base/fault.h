/*
 * Defences that a test may take out, to show that the test for them can fail.
 *
 * Debug builds (-DMASU_FAULTS) read the comma-separated list in $MASU_TEST_WITHOUT; in every other
 * build fault_without() is the constant false and the weaker path does not exist in the program.
 */
#pragma once

#include <stdbool.h>

#ifdef MASU_FAULTS
/* True where @defence is one of the names in $MASU_TEST_WITHOUT. */
bool fault_without(const char *defence);
/*
 * Counts the process's allocations; true for number $MASU_TEST_FAIL_ALLOCATION, which then must
 * fail. Says so on stderr, so that a test knows that the number was reached.
 */
bool fault_allocation(void);
#else
#define fault_without(defence) false
#define fault_allocation()     false
#endif
