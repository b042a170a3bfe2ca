#include "base/signal_name.h"

#include <signal.h>
#include <stdbool.h>
#include <strings.h>

#include "base/str.h"

#define KERNEL_RTMIN 34
#define KERNEL_RTMAX 64

static const struct {
	const char *name;
	int number;
} names[] = {
	{ "HUP", SIGHUP },   { "INT", SIGINT },	  { "QUIT", SIGQUIT }, { "ILL", SIGILL },
	{ "TRAP", SIGTRAP }, { "ABRT", SIGABRT }, { "IOT", SIGABRT },  { "BUS", SIGBUS },
	{ "FPE", SIGFPE },   { "KILL", SIGKILL }, { "USR1", SIGUSR1 }, { "SEGV", SIGSEGV },
	{ "USR2", SIGUSR2 }, { "PIPE", SIGPIPE }, { "ALRM", SIGALRM }, { "TERM", SIGTERM },
	{ "STKFLT", 16 },    { "CHLD", SIGCHLD }, { "CLD", SIGCHLD },  { "CONT", SIGCONT },
	{ "STOP", SIGSTOP }, { "TSTP", SIGTSTP }, { "TTIN", SIGTTIN }, { "TTOU", SIGTTOU },
	{ "URG", SIGURG },   { "XCPU", SIGXCPU }, { "XFSZ", SIGXFSZ }, { "VTALRM", SIGVTALRM },
	{ "PROF", SIGPROF }, { "IO", SIGIO },	  { "POLL", SIGIO },   { "WINCH", SIGWINCH },
	{ "PWR", SIGPWR },   { "SYS", SIGSYS },
};

/* "RTMIN", "RTMIN+3", "RTMAX-2" */
static int realtime_number(const char *name)
{
	bool from_min = strncasecmp(name, "RTMIN", 5) == 0;
	uint32_t offset = 0;
	if (!from_min && strncasecmp(name, "RTMAX", 5) != 0)
		return -1;
	const char *rest = name + 5;
	if (*rest && (*rest != (from_min ? '+' : '-') || str_to_u32(rest + 1, &offset) < 0))
		return -1;
	if (offset > KERNEL_RTMAX - KERNEL_RTMIN)
		return -1;
	return from_min ? KERNEL_RTMIN + (int)offset : KERNEL_RTMAX - (int)offset;
}

int signal_number(const char *text)
{
	uint32_t number;
	if (str_to_u32(text, &number) == 0)
		return number >= 1 && number <= KERNEL_RTMAX ? (int)number : -1;
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcasecmp(name, names[i].name) == 0)
			return names[i].number;
	return realtime_number(name);
}
