/* swap A B [SECONDS]: exchanges two names as fast as it can, for other programs to trip over. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	time_t end = time(NULL) + (argc > 3 ? atoi(argv[3]) : 60);
	if (argc < 3)
		return 2;
	while (time(NULL) < end)
		for (int i = 0; i < 1000; i++)
			if (syscall(SYS_renameat2, AT_FDCWD, argv[1], AT_FDCWD, argv[2], 2) < 0)
				return 1;
	return 0;
}
