/* Columns of ps(1), with procps's headings and spellings. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/str.h"
#include "engine/ps.h"
#include "sys/fs.h"

#define NAMES_MAX   (1u << 20)
#define NAME_WIDTH  8 /* longer names are cut, with a plus */
#define PTS_MAJOR   136
#define PTS_MAJORS  8
#define TTY_MAJOR   4
#define TTYS_FIRST  64
#define SECONDS_DAY 86400

typedef const char *(*column_fn)(struct arena *arena, const struct ps_machine *machine,
				 const struct process_info *process);

struct ps_column {
	const char *name, *title;
	column_fn text;
};

/* ---- the machine ---- */

static uint64_t number_after(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

static int read_file(struct arena *arena, const char *path, const char **ret)
{
	struct buf text;
	buf_init(&text, NAMES_MAX + 1);
	int r = fs_read_at(AT_FDCWD, path, NAMES_MAX, &text);
	*ret = r < 0 ? "" : arena_strdup(arena, buf_str(&text));
	buf_free(&text);
	return *ret ? r : -ENOMEM;
}

/* "12345.67 …" */
static uint64_t hundredths(const char *text)
{
	char *end;
	uint64_t whole = strtoull(text, &end, 10);
	return whole * 100 + (*end == '.' ? strtoull(end + 1, NULL, 10) % 100 : 0);
}

int ps_machine_read(struct arena *arena, struct ps_machine *ret, struct masu_error *err)
{
	const char *stat, *memory, *uptime;
	int r = read_file(arena, "/proc/stat", &stat);
	if (r == 0)
		r = read_file(arena, "/proc/meminfo", &memory);
	if (r == 0)
		r = read_file(arena, "/proc/uptime", &uptime);
	if (r < 0)
		return error_errno(err, r, "cannot read /proc");
	*ret = (struct ps_machine) { .now = time(NULL),
				     .boot = (time_t)number_after(stat, "\nbtime "),
				     .uptime = hundredths(uptime),
				     .hertz = (uint64_t)sysconf(_SC_CLK_TCK),
				     .memory = number_after(memory, "MemTotal:") };
	/* Without them ids are shown. */
	if (read_file(arena, "/etc/passwd", &ret->passwd) == -ENOMEM ||
	    read_file(arena, "/etc/group", &ret->group) == -ENOMEM)
		return error_set(err, -ENOMEM, "out of memory");
	return 0;
}

/* ---- helpers ---- */

/* The name of @id in the text of /etc/passwd or /etc/group: "name:password:id:…". */
static const char *id_name(struct arena *arena, const char *text, unsigned id)
{
	char wanted[16];
	size_t len = (size_t)snprintf(wanted, sizeof(wanted), ":%u", id);
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		size_t name = strcspn(line, ":\n");
		const char *password = line + name;
		if (*password != ':')
			continue;
		const char *at = password + 1 + strcspn(password + 1, ":\n");
		if (strncmp(at, wanted, len) != 0 || (at[len] != ':' && at[len] != '\n'))
			continue;
		if (name > NAME_WIDTH)
			return arena_printf(arena, "%.*s+", NAME_WIDTH - 1, line);
		return arena_strndup(arena, line, name);
	}
	return arena_printf(arena, "%u", id);
}

/* What a process calls itself must not move the cursor of who looks. */
static const char *printable(struct arena *arena, const char *text)
{
	char *copy = arena_strdup(arena, text);
	for (char *p = copy; p && *p;) {
		size_t sequence = str_utf8_length(p, strlen(p));
		/* C1 controls are "\xc2\x80" to "\xc2\x9f". */
		bool c1 =
			sequence == 2 && (unsigned char)p[0] == 0xc2 && (unsigned char)p[1] < 0xa0;
		if (sequence && !c1) {
			p += sequence;
			continue;
		}
		if (*p < ' ' || *p == 0x7f || (unsigned char)*p >= 0x80)
			*p = '?';
		p++;
	}
	return copy;
}

/* Hundredths of a second since it was started. */
static uint64_t lived(const struct ps_machine *m, const struct process_info *p)
{
	uint64_t start = p->start_time * 100 / m->hertz;
	return m->uptime > start ? m->uptime - start : 0;
}

static uint64_t seconds_run(const struct ps_machine *m, const struct process_info *p)
{
	return lived(m, p) / 100;
}

static time_t started(const struct ps_machine *m, const struct process_info *p)
{
	return m->boot + (time_t)(p->start_time / m->hertz);
}

/* CPU time over life time, in thousandths. */
static uint64_t utilisation(const struct ps_machine *m, const struct process_info *p)
{
	uint64_t life = lived(m, p), used = (p->utime + p->stime) * 100 / m->hertz;
	return life ? used * 1000 / life : 0;
}

static const char *per_mille(struct arena *arena, uint64_t value)
{
	if (value > 999)
		return arena_printf(arena, "%llu", (unsigned long long)value / 10);
	return arena_printf(arena, "%llu.%llu", (unsigned long long)value / 10,
			    (unsigned long long)value % 10);
}

/* ---- the columns ---- */

#define CELL(name)                                                                                 \
	static const char *cell_##name(struct arena *arena, const struct ps_machine *m,            \
				       const struct process_info *p)
#define NUMBER(name, format, expression)                                                           \
	CELL(name)                                                                                 \
	{                                                                                          \
		return arena_printf(arena, format, expression);                                    \
	}

NUMBER(pid, "%d", p->pid)
NUMBER(ppid, "%d", p->ppid)
NUMBER(pgid, "%d", p->pgrp)
NUMBER(sid, "%d", p->session)
NUMBER(tpgid, "%d", p->tty_group)
NUMBER(uid, "%u", p->euid)
NUMBER(ruid, "%u", p->uid)
NUMBER(gid, "%u", p->egid)
NUMBER(rgid, "%u", p->gid)
NUMBER(flags, "%llo", (unsigned long long)p->flags >> 6 & 7)
NUMBER(state, "%c", p->state)
NUMBER(vsz, "%llu", (unsigned long long)p->vsize / 1024)
NUMBER(size_pages, "%llu", (unsigned long long)p->vsize / (unsigned long long)sysconf(_SC_PAGESIZE))
NUMBER(rss, "%llu", (unsigned long long)p->rss_kib)
NUMBER(pri, "%lld", 39 - (long long)p->priority)
NUMBER(threads, "%lld", (long long)p->threads)
NUMBER(processor, "%d", p->processor)
NUMBER(etimes, "%llu", (unsigned long long)seconds_run(m, p))

CELL(user)
{
	return id_name(arena, m->passwd, p->euid);
}

CELL(ruser)
{
	return id_name(arena, m->passwd, p->uid);
}

CELL(group)
{
	return id_name(arena, m->group, p->egid);
}

CELL(rgroup)
{
	return id_name(arena, m->group, p->gid);
}

CELL(comm)
{
	const char *name = printable(arena, p->comm);
	return name && p->state == 'Z' ? arena_printf(arena, "%s <defunct>", name) : name;
}

CELL(args)
{
	if (p->args[0] && p->state != 'Z')
		return printable(arena, p->args);
	const char *name = printable(arena, p->comm);
	return name ? arena_printf(arena, p->state == 'Z' ? "[%s] <defunct>" : "[%s]", name) : NULL;
}

CELL(nice)
{
	/* Other classes than SCHED_OTHER and SCHED_BATCH have none. */
	return p->policy == 0 || p->policy == 3 ? arena_printf(arena, "%lld", (long long)p->nice)
						: "-";
}

CELL(rt_priority)
{
	return p->policy == 0 ? "-" : arena_printf(arena, "%d", p->rt_priority);
}

CELL(class)
{
	static const char *const names[] = { "TS", "FF", "RR", "B", "ISO", "IDL", "DLN" };
	return p->policy >= 0 && (size_t)p->policy < ARRAY_SIZE(names) ? names[p->policy] : "?";
}

CELL(tty)
{
	unsigned major = major(p->tty), minor = minor(p->tty);
	if (!p->tty)
		return "?";
	if (major >= PTS_MAJOR && major < PTS_MAJOR + PTS_MAJORS)
		return arena_printf(arena, "pts/%u", minor + (major - PTS_MAJOR) * 256);
	if (major == TTY_MAJOR)
		return minor < TTYS_FIRST ? arena_printf(arena, "tty%u", minor)
					  : arena_printf(arena, "ttyS%u", minor - TTYS_FIRST);
	return arena_printf(arena, "%u,%u", major, minor);
}

CELL(stat)
{
	return arena_printf(arena, "%c%s%s%s%s%s", p->state,
			    p->nice < 0	  ? "<"
			    : p->nice > 0 ? "N"
					  : "",
			    p->locked_kib ? "L" : "", p->session == p->pid ? "s" : "",
			    p->threads > 1 ? "l" : "", p->tty_group == p->pgrp ? "+" : "");
}

CELL(cputime)
{
	unsigned long long t = (p->utime + p->stime) / m->hertz;
	unsigned long long days = t / SECONDS_DAY;
	t %= SECONDS_DAY;
	if (days)
		return arena_printf(arena, "%llu-%02llu:%02llu:%02llu", days, t / 3600, t / 60 % 60,
				    t % 60);
	return arena_printf(arena, "%02llu:%02llu:%02llu", t / 3600, t / 60 % 60, t % 60);
}

CELL(bsdtime)
{
	unsigned long long t = (p->utime + p->stime) / m->hertz;
	return arena_printf(arena, "%llu:%02llu", t / 60, t % 60);
}

CELL(etime)
{
	unsigned long long t = seconds_run(m, p), days = t / SECONDS_DAY;
	t %= SECONDS_DAY;
	if (days)
		return arena_printf(arena, "%llu-%02llu:%02llu:%02llu", days, t / 3600, t / 60 % 60,
				    t % 60);
	if (t >= 3600)
		return arena_printf(arena, "%02llu:%02llu:%02llu", t / 3600, t / 60 % 60, t % 60);
	return arena_printf(arena, "%02llu:%02llu", t / 60, t % 60);
}

CELL(stime)
{
	struct tm today, then;
	char text[32];
	time_t start = started(m, p);
	if (!localtime_r(&m->now, &today) || !localtime_r(&start, &then))
		return "?";
	const char *format = today.tm_year != then.tm_year   ? "%Y"
			     : today.tm_yday != then.tm_yday ? "%b%d"
							     : "%H:%M";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	strftime(text, sizeof(text), format, &then);
#pragma GCC diagnostic pop
	return arena_strdup(arena, text);
}

CELL(lstart)
{
	struct tm then;
	char text[64];
	time_t start = started(m, p);
	if (!localtime_r(&start, &then))
		return "?";
	strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &then);
	return arena_strdup(arena, text);
}

CELL(cpu)
{
	return per_mille(arena, utilisation(m, p));
}

CELL(cpu_whole)
{
	uint64_t percent = utilisation(m, p) / 10;
	return arena_printf(arena, "%u", percent > 99 ? 99 : (unsigned)percent);
}

CELL(memory)
{
	uint64_t value = m->memory ? p->rss_kib * 1000 / m->memory : 0;
	return per_mille(arena, value > 999 ? 999 : value);
}

static const struct ps_column columns[] = {
	{ "%cpu", "%CPU", cell_cpu },
	{ "%mem", "%MEM", cell_memory },
	{ "args", "COMMAND", cell_args },
	{ "bsdtime", "TIME", cell_bsdtime },
	{ "c", "C", cell_cpu_whole },
	{ "class", "CLS", cell_class },
	{ "cls", "CLS", cell_class },
	{ "cmd", "CMD", cell_args },
	{ "comm", "COMMAND", cell_comm },
	{ "command", "COMMAND", cell_args },
	{ "cputime", "TIME", cell_cputime },
	{ "egid", "EGID", cell_gid },
	{ "egroup", "EGROUP", cell_group },
	{ "etime", "ELAPSED", cell_etime },
	{ "etimes", "ELAPSED", cell_etimes },
	{ "euid", "EUID", cell_uid },
	{ "euser", "EUSER", cell_user },
	{ "f", "F", cell_flags },
	{ "flag", "F", cell_flags },
	{ "flags", "F", cell_flags },
	{ "gid", "GID", cell_gid },
	{ "group", "GROUP", cell_group },
	{ "lstart", "STARTED", cell_lstart },
	{ "ni", "NI", cell_nice },
	{ "nice", "NI", cell_nice },
	{ "nlwp", "NLWP", cell_threads },
	{ "pcpu", "%CPU", cell_cpu },
	{ "pgid", "PGID", cell_pgid },
	{ "pgrp", "PGRP", cell_pgid },
	{ "pid", "PID", cell_pid },
	{ "pmem", "%MEM", cell_memory },
	{ "ppid", "PPID", cell_ppid },
	{ "pri", "PRI", cell_pri },
	{ "psr", "PSR", cell_processor },
	{ "rgid", "RGID", cell_rgid },
	{ "rgroup", "RGROUP", cell_rgroup },
	{ "rss", "RSS", cell_rss },
	{ "rssize", "RSS", cell_rss },
	{ "rsz", "RSZ", cell_rss },
	{ "rtprio", "RTPRIO", cell_rt_priority },
	{ "ruid", "RUID", cell_ruid },
	{ "ruser", "RUSER", cell_ruser },
	{ "s", "S", cell_state },
	{ "sess", "SESS", cell_sid },
	{ "session", "SESS", cell_sid },
	{ "sid", "SID", cell_sid },
	{ "start_time", "START", cell_stime },
	{ "stat", "STAT", cell_stat },
	{ "state", "S", cell_state },
	{ "stime", "STIME", cell_stime },
	{ "sz", "SZ", cell_size_pages },
	{ "thcount", "THCNT", cell_threads },
	{ "time", "TIME", cell_cputime },
	{ "tname", "TTY", cell_tty },
	{ "tpgid", "TPGID", cell_tpgid },
	{ "tt", "TT", cell_tty },
	{ "tty", "TT", cell_tty },
	{ "ucmd", "CMD", cell_comm },
	{ "ucomm", "COMMAND", cell_comm },
	{ "uid", "UID", cell_uid },
	{ "uname", "USER", cell_user },
	{ "user", "USER", cell_user },
	{ "vsize", "VSZ", cell_vsz },
	{ "vsz", "VSZ", cell_vsz },
	/* Of the layouts only: a name under the heading of a number. */
	{ "UID", "UID", cell_user },
};

const struct ps_column *ps_column_find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		if (strlen(columns[i].name) == len && memcmp(columns[i].name, name, len) == 0)
			return &columns[i];
	return NULL;
}

const char *ps_column_title(const struct ps_column *column)
{
	return column->title;
}

const char *ps_column_text(const struct ps_column *column, struct arena *arena,
			   const struct ps_machine *machine, const struct process_info *process)
{
	return column->text(arena, machine, process);
}
