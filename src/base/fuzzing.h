/*
 * A fuzzer runs a million small inputs: with the buffers of a real layer it would do nothing but
 * get and clear memory, and never see one end in the middle of something.
 */
#pragma once

#ifdef MASU_FUZZING
#define FUZZING_OR(small, real) (small)
#else
#define FUZZING_OR(small, real) (real)
#endif
