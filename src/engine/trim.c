#include "engine/trim.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE		    4096u
#define STACK_TRIM	    (96u << 10) /* more than what making a container uses below this frame */
#define STACK_MAX	    (8u << 20)
#define FRAME_HEAD	    64 /* return address and saved registers above a frame's address */
#define RANGES_MAX	    8
#define PAGE_START(address) ((address) & ~(uintptr_t)(PAGE - 1))
#define PAGE_END(address)   PAGE_START((address) + PAGE - 1)

#if defined(__x86_64__)
#define RELATIVE R_X86_64_RELATIVE
#elif defined(__aarch64__)
#define RELATIVE R_AARCH64_RELATIVE
#endif

#ifndef DT_RELR
#define DT_RELRSZ 35 /* packed relative relocations */
#define DT_RELR	  36
#endif
#define PACKED_WORDS 63 /* that a bit map of theirs tells of */

struct range {
	uintptr_t from, to;
};

/*
 * The program as the kernel mapped it. Relocated data is dropped only where this file alone can
 * make it again: in the static build, whose relocations are all relative.
 */
struct program {
	bool known;
	uintptr_t base;
	struct range ranges[RANGES_MAX]; /* what can be dropped */
	unsigned count;
	const Elf64_Rela *relocations; /* those of the dropped data */
	size_t relocation_count;
	const uint64_t *packed; /* base/packed_start.c */
	size_t packed_count;
	bool restorable;
	struct range relro;
};

static struct program program;

/* The linker's: the program's own ELF header, mapped at its start. */
extern const Elf64_Ehdr __ehdr_start __attribute__((weak, visibility("hidden")));

void trim_range(void *start, size_t size)
{
	uintptr_t from = PAGE_END((uintptr_t)start), to = PAGE_START((uintptr_t)start + size);
	if (from < to)
		madvise((void *)from, to - from, MADV_DONTNEED);
}

void __attribute__((noinline)) trim_stack(const void *frame)
{
	uintptr_t here = PAGE_START((uintptr_t)__builtin_frame_address(0));
	uintptr_t above = PAGE_END((uintptr_t)frame + FRAME_HEAD);
	/* The kernel put the arguments and environment above the program's first frame. */
	uintptr_t top = PAGE_START((uintptr_t)environ);
	/* One page stays, for the red zone and the calls from here. */
	madvise((void *)(here - PAGE - STACK_TRIM), STACK_TRIM, MADV_DONTNEED);
	if (above < top && top - above < STACK_MAX)
		madvise((void *)above, top - above, MADV_DONTNEED);
}

static void add_range(uintptr_t from, uintptr_t to)
{
	if (from < to && program.count < RANGES_MAX)
		program.ranges[program.count++] = (struct range) { from, to };
}

#if !defined(__GLIBC__) && defined(RELATIVE)
/* True where every relocation is relative, so that making them again restores the data. */
static bool find_relocations(const Elf64_Dyn *dynamic)
{
	size_t bytes = 0, packed_bytes = 0;
	uintptr_t table = 0, packed = 0;
	for (; dynamic->d_tag != DT_NULL; dynamic++) {
		if (dynamic->d_tag == DT_RELA)
			table = program.base + dynamic->d_un.d_ptr;
		else if (dynamic->d_tag == DT_RELASZ)
			bytes = dynamic->d_un.d_val;
		else if (dynamic->d_tag == DT_RELR)
			packed = program.base + dynamic->d_un.d_ptr;
		else if (dynamic->d_tag == DT_RELRSZ)
			packed_bytes = dynamic->d_un.d_val;
		else if (dynamic->d_tag == DT_REL || dynamic->d_tag == DT_JMPREL)
			return false;
	}
	const Elf64_Rela *list = (const Elf64_Rela *)table;
	size_t count = bytes / sizeof(*list);
	for (size_t i = 0; i < count; i++)
		if (ELF64_R_TYPE(list[i].r_info) != RELATIVE)
			return false;
	program.relocations = list;
	program.relocation_count = count;
	program.packed = (const uint64_t *)packed;
	program.packed_count = packed_bytes / sizeof(uint64_t);
	return count || program.packed_count;
}

static void find_relro(const Elf64_Phdr *headers, unsigned count)
{
	struct range relro = { 0, 0 };
	bool restorable = false;
	for (unsigned i = 0; i < count; i++) {
		uintptr_t at = program.base + headers[i].p_vaddr;
		if (headers[i].p_type == PT_GNU_RELRO)
			/* It begins its segment; the page it ends in may hold variables. */
			relro = (struct range) { PAGE_START(at),
						 PAGE_START(at + headers[i].p_memsz) };
		else if (headers[i].p_type == PT_DYNAMIC)
			restorable = find_relocations((const Elf64_Dyn *)at);
	}
	if (!restorable || relro.from >= relro.to)
		return;
	program.restorable = true;
	program.relro = relro;
	add_range(relro.from, relro.to);
}
#else
static void find_relro(const Elf64_Phdr *headers, unsigned count)
{
}
#endif

static void find_program(uintptr_t own_page)
{
	program.known = true;
	if (!&__ehdr_start)
		return;
	program.base = (uintptr_t)&__ehdr_start;
	const Elf64_Phdr *headers = (const Elf64_Phdr *)(program.base + __ehdr_start.e_phoff);
	for (unsigned i = 0; i < __ehdr_start.e_phnum; i++) {
		uintptr_t from = program.base + headers[i].p_vaddr;
		uintptr_t to = PAGE_END(from + headers[i].p_memsz);
		if (headers[i].p_type != PT_LOAD || (headers[i].p_flags & PF_W))
			continue;
		from = PAGE_START(from);
		if (own_page >= from && own_page < to) {
			add_range(from, own_page);
			add_range(own_page + PAGE, to);
		} else {
			add_range(from, to);
		}
	}
	find_relro(headers, __ehdr_start.e_phnum);
}

/* The kernel's own calls: nothing outside the page may be touched in between. */
static inline __attribute__((always_inline)) long raw_call(long number, long a, long b, long c,
							   long d)
{
#if defined(__x86_64__)
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = 0;
	register long r9 __asm__("r9") = 8;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
#else
	long result = syscall(number, a, b, c, d, 0, 8);
	return result < 0 ? -errno : result;
#endif
}

/*
 * One page of code that drops all the others and waits. Faults bring pages in by 64 KiB (the
 * kernel's fault-around), but never beyond a mapping: the different advice makes this page one.
 */
static long __attribute__((noinline, section(".text.trim_wait"), aligned(PAGE)))
drop_and_wait(const struct program *p, int epoll_fd, struct epoll_event *events, int count)
{
	for (unsigned i = 0; i < p->count; i++)
		raw_call(SYS_madvise, (long)p->ranges[i].from,
			 (long)(p->ranges[i].to - p->ranges[i].from), MADV_DONTNEED, 0);
	return raw_call(SYS_epoll_pwait, epoll_fd, (long)events, count, -1);
}

static void relocate(const struct program *p, uintptr_t at)
{
	if (at >= p->relro.from && at < p->relro.to)
		*(uintptr_t *)at += p->base;
}

/* gABI, "Relative Relocation Table". What is relocated holds its addend, as in the file. */
static void restore_packed(const struct program *p)
{
	uintptr_t where = 0;
	for (size_t i = 0; i < p->packed_count; i++) {
		uint64_t entry = p->packed[i];
		if (!(entry & 1)) {
			relocate(p, p->base + entry);
			where = p->base + entry + sizeof(uintptr_t);
			continue;
		}
		for (uint64_t bits = entry >> 1; bits; bits &= bits - 1)
			relocate(p, where + (uintptr_t)__builtin_ctzll(bits) * sizeof(uintptr_t));
		where += PACKED_WORDS * sizeof(uintptr_t);
	}
}

/* The data as the program's start made it; the tables of relocations are not relocated themselves.
 */
static void restore(const struct program *p)
{
	if (!p->restorable)
		return;
	for (size_t i = 0; i < p->relocation_count; i++) {
		uintptr_t at = p->base + p->relocations[i].r_offset;
		if (at >= p->relro.from && at < p->relro.to)
			*(uintptr_t *)at = p->base + (uintptr_t)p->relocations[i].r_addend;
	}
	restore_packed(p);
}

int trim_wait(int epoll_fd, struct epoll_event *events, int count)
{
	uintptr_t own_page = (uintptr_t)drop_and_wait;
	if (!program.known) {
		find_program(own_page);
		madvise((void *)own_page, PAGE, MADV_RANDOM);
	}
	long result = drop_and_wait(&program, epoll_fd, events, count);
	restore(&program);
	if (result >= 0)
		return (int)result;
	errno = (int)-result;
	return -1;
}
