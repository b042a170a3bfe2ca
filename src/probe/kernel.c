/* What a container could make dearer in the kernel: system calls, page faults, mappings. */
#include "probe/probe.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* syscall THOUSANDS: nanoseconds of the cheapest system call and of one with a little work. */
int probe_syscall(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	long count = (long)(probe_number(argv[1]) * 1000);
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	char byte;
	if (zero < 0)
		return probe_failed("/dev/zero");
	double start = probe_now();
	for (long i = 0; i < count; i++)
		syscall(SYS_getppid);
	probe_print("getppid", (probe_now() - start) * 1e9 / (double)count);
	start = probe_now();
	for (long i = 0; i < count; i++)
		if (read(zero, &byte, 1) != 1)
			return probe_failed("/dev/zero");
	probe_print("read", (probe_now() - start) * 1e9 / (double)count);
	close(zero);
	return 0;
}

/* memory MEBIBYTES ROUNDS: nanoseconds of the first write to a page, and of making and unmaking a
 * small mapping. */
int probe_memory(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	size_t size = (size_t)(probe_number(argv[1]) * 1048576), page = 4096, mappings = 2000;
	int rounds = (int)probe_number(argv[2]);
	double faults = 0, maps = 0;
	for (int round = 0; round < rounds; round++) {
		char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				    -1, 0);
		if (memory == MAP_FAILED)
			return probe_failed("mmap");
		/* Pages of 4 KiB, whatever the machine does with large ones. */
		madvise(memory, size, MADV_NOHUGEPAGE);
		double start = probe_now();
		for (size_t at = 0; at < size; at += page)
			((volatile char *)memory)[at] = 1;
		faults += probe_now() - start;
		munmap(memory, size);
		start = probe_now();
		for (size_t i = 0; i < mappings; i++) {
			void *small = mmap(NULL, page * 4, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (small == MAP_FAILED)
				return probe_failed("mmap");
			munmap(small, page * 4);
		}
		maps += probe_now() - start;
	}
	probe_print("fault", faults * 1e9 / (double)(size / page) / rounds);
	probe_print("mmap", maps * 1e9 / (double)mappings / rounds);
	return 0;
}

/* meminfo: what /proc/meminfo says, in MiB, and how many CPUs a program may use. */
int probe_meminfo(int argc, char **argv)
{
	char line[256];
	FILE *file = fopen("/proc/meminfo", "re");
	if (!file)
		return probe_failed("/proc/meminfo");
	while (fgets(line, sizeof(line), file)) {
		long kib;
		if (sscanf(line, "MemTotal: %ld kB", &kib) == 1)
			probe_print("total", (double)kib / 1024);
	}
	fclose(file);
	probe_print("cpus", (double)sysconf(_SC_NPROCESSORS_ONLN));
	return 0;
}

/* machine: whether the CPU is QEMU's software (TCG), by the name that it gives itself. */
int probe_machine(int argc, char **argv)
{
	char line[4096];
	int emulated = 0;
	FILE *file = fopen("/proc/cpuinfo", "re");
	if (!file)
		return probe_failed("/proc/cpuinfo");
	while (fgets(line, sizeof(line), file))
		emulated |= strstr(line, "QEMU TCG") || strstr(line, "QEMU Virtual CPU");
	fclose(file);
	probe_print("emulated", emulated);
	return 0;
}
