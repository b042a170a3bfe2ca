/*
 * orphans WORKERS EACH: leaves WORKERS * EACH processes that have ended for process 1 to reap, then
 * waits up to 20 s until /proc shows none of them. Prints how many are left; 0 when none is.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int zombies(void)
{
	DIR *proc = opendir("/proc");
	int count = 0;
	for (struct dirent *entry; proc && (entry = readdir(proc));) {
		char path[300], text[512];
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
		int fd = open(path, O_RDONLY);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		if (fd >= 0)
			close(fd);
		text[n > 0 ? n : 0] = '\0';
		char *end = strrchr(text, ')');
		count += end && strncmp(end, ") Z", 3) == 0;
	}
	if (proc)
		closedir(proc);
	return count;
}

static void worker(int each)
{
	for (int i = 0; i < each; i++) {
		pid_t pid = fork();
		if (pid <= 0)
			_exit(pid < 0);
	}
	_exit(0); /* without waiting: the children are process 1's now */
}

int main(int argc, char **argv)
{
	int workers = argc > 1 ? atoi(argv[1]) : 1, each = argc > 2 ? atoi(argv[2]) : 1;
	for (int i = 0; i < workers; i++) {
		int status;
		pid_t pid = fork();
		if (pid == 0)
			worker(each);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
			perror("worker");
			return 2;
		}
	}
	int left = zombies();
	for (int tries = 0; left > 0 && tries < 200; tries++) {
		usleep(getpid() == 1 ? 1000 : 100000);
		left = zombies();
	}
	printf("%d\n", left);
	return left > 0;
}
