/*
 * Where the static program begins: the linker packs the relocations of a position-independent
 * program into a bit map (DT_RELR, -z pack-relative-relocs), a tenth of their size, which is 50
 * KiB; musl before 1.2.4 (Debian 12) does not know them, so they are applied here, before its own
 * start code is entered with everything as the kernel left it. Nothing here may rely on a
 * relocation, on thread-local storage, or on libc.
 */
#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#ifndef DT_RELR
#define DT_RELRSZ 35
#define DT_RELR	  36
#endif

#define BITS_PER_WORD                                                                              \
	63 /* a word with its lowest bit set: which of the next 63 words to relocate */

extern const Elf64_Dyn _DYNAMIC[] __attribute__((visibility("hidden")));
extern const char __ehdr_start[] __attribute__((visibility("hidden")));

/* gABI, "Relative Relocation Table". */
__attribute__((used, no_stack_protector)) static void apply_packed(void)
{
	uintptr_t base = (uintptr_t)__ehdr_start;
	const uint64_t *entry = NULL;
	size_t count = 0;
	uintptr_t *where = NULL;
	for (const Elf64_Dyn *dyn = _DYNAMIC; dyn->d_tag != DT_NULL; dyn++) {
		if (dyn->d_tag == DT_RELR)
			entry = (const uint64_t *)(base + dyn->d_un.d_ptr);
		else if (dyn->d_tag == DT_RELRSZ)
			count = dyn->d_un.d_val / sizeof(*entry);
	}
	for (; count > 0; count--, entry++) {
		if (!(*entry & 1)) {
			where = (uintptr_t *)(base + *entry);
			*where++ += base;
			continue;
		}
		for (uint64_t bits = *entry >> 1; bits; bits &= bits - 1)
			where[__builtin_ctzll(bits)] += base;
		where += BITS_PER_WORD;
	}
}

/* packed_start(): the entry point. The stack pointer is kept in a register that a call preserves.
 */
__asm__(".text\n"
	".globl packed_start\n"
	".type packed_start, @function\n"
	"packed_start:\n"
	"	endbr64\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rbx\n"
	"	and $-16, %rsp\n"
	"	call apply_packed\n"
	"	mov %rbx, %rsp\n"
	"	jmp _start\n"
	".size packed_start, .-packed_start\n");
