/*
 * What a careless caller of masu leaves for the container to find, then runs COMMAND:
 *
 *	outside fds DIR COMMAND...	descriptors 3 to 1023 are open on DIR, not close-on-exec
 *	outside key NAME COMMAND...	a session keyring that holds a key NAME
 *	outside inheritable COMMAND...	all its capabilities inheritable, and ambient
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int leak_fds(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY);
	for (int i = 3; i < 1024; i++)
		if (fd < 0 || (i != fd && dup2(fd, i) < 0))
			return -1;
	return 0;
}

static int leak_key(const char *name)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0)
		return -1;
	long key = syscall(SYS_add_key, "user", name, "x", 1, KEY_SPEC_SESSION_KEYRING);
	/* Whoever finds it may use it, so that only where it is found decides. */
	return key < 0 || syscall(SYS_keyctl, KEYCTL_SETPERM, key, 0x3f3f3f3f) < 0 ? -1 : 0;
}

static int make_inheritable(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &head, data) < 0)
		return -1;
	for (int i = 0; i < 2; i++)
		data[i].inheritable = data[i].permitted;
	if (syscall(SYS_capset, &head, data) < 0)
		return -1;
	for (int cap = 0; cap < 41; cap++)
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0); /* those there are */
	return 0;
}

int main(int argc, char **argv)
{
	char **command = argv + 3;
	int r = -1;
	if (argc > 3 && !strcmp(argv[1], "fds"))
		r = leak_fds(argv[2]);
	else if (argc > 3 && !strcmp(argv[1], "key"))
		r = leak_key(argv[2]);
	else if (argc > 2 && !strcmp(argv[1], "inheritable")) {
		r = make_inheritable();
		command = argv + 2;
	}
	if (r == 0)
		execvp(command[0], command);
	perror("outside");
	return 99;
}
