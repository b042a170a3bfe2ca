/* `masu login`, `masu logout`: credentials for a registry, proved before they are kept. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/image_options.h"
#include "cold/image/verbs.h"
#include "cold/registry/fetch.h"
#include "sys/fs.h"

#define LINE_MAX_BYTES	16384
#define TOKEN_MAX_BYTES (1u << 20)

/* "https://index.docker.io/v1/", "https://registry.example/" and "registry.example" are domains. */
static const char *domain_of(struct arena *arena, const char *server)
{
	if (!server || !*server)
		return "docker.io";
	const char *rest = str_after(server, "https://");
	if (!rest)
		rest = str_after(server, "http://");
	if (!rest)
		rest = server;
	const char *domain = arena_strndup(arena, rest, strcspn(rest, "/"));
	if (domain && (streq(domain, "index.docker.io") || streq(domain, "registry-1.docker.io")))
		return "docker.io";
	return domain;
}

/* One line of stdin without its end; with @hidden a terminal does not show it. */
static int read_line(struct arena *arena, const char *prompt, bool hidden, const char **ret,
		     struct masu_error *err)
{
	char line[LINE_MAX_BYTES];
	struct termios shown, silent;
	bool terminal = tcgetattr(STDIN_FILENO, &shown) == 0;
	printf("%s", prompt);
	fflush(stdout);
	if (terminal && hidden) {
		silent = shown;
		silent.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	}
	char *got = fgets(line, sizeof(line), stdin);
	if (terminal && hidden) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
		printf("\n");
	}
	if (!got)
		return error_set(err, -EINVAL, "login: nothing on stdin");
	line[strcspn(line, "\r\n")] = '\0';
	*ret = arena_strdup(arena, line);
	return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int ask(struct arena *arena, const struct login_options *o, struct registry_credentials *ret,
	       struct masu_error *err)
{
	int r = 0;
	if (o->password && o->password_stdin)
		return error_set(err, -EINVAL,
				 "--password and --password-stdin are mutually exclusive");
	if (o->password_stdin && !o->username)
		return error_set(err, -EINVAL, "Must provide --username with --password-stdin");
	if (!o->username && !isatty(STDIN_FILENO))
		return error_set(err, -EINVAL,
				 "cannot perform an interactive login from a non TTY device");
	ret->username = o->username;
	ret->password = o->password;
	if (o->password)
		fprintf(stderr, "WARNING! Using --password via the CLI is insecure. Use "
				"--password-stdin.\n");
	if (!ret->username)
		r = read_line(arena, "Username: ", false, &ret->username, err);
	if (r == 0 && !ret->password)
		r = read_line(arena, o->password_stdin ? "" : "Password: ", true, &ret->password,
			      err);
	if (r == 0 && (!*ret->username || !*ret->password))
		r = error_set(err, -EINVAL, "login: user name and password are needed");
	return r;
}

/*
 * What the token server gave to ask with from now on takes the place of the password, as docker
 * does it.
 */
static int take_refresh_token(struct arena *arena, int fd, struct registry_credentials *credentials,
			      struct masu_error *err)
{
	char path[FS_PROC_FD_MAX], *text;
	size_t len;
	int r = fs_read_arena(AT_FDCWD, fs_proc_fd(fd, path), TOKEN_MAX_BYTES, arena, &text, &len);
	if (r < 0)
		return error_errno(err, r, "the refresh token");
	if (len == 0)
		return 0;
	if (strlen(text) != len)
		return error_set(err, -EBADMSG, "the refresh token is none");
	credentials->identity_token = text;
	credentials->password = NULL;
	return 0;
}

/* Asks the registry itself, not its mirrors. */
static int prove(struct arena *arena, const char *domain, struct registry_credentials *credentials,
		 struct masu_error *err)
{
	const struct image_reference reference = { .domain = domain };
	struct registry registry;
	struct fetch_reply reply;
	_cleanup_fetcher_ struct fetcher *fetcher = NULL;
	struct fetch_request request = { .kind = FETCH_PING, .path = "/v2/" };
	int r = registry_open(arena, &reference, &registry, err);
	if (r < 0)
		return r;
	registry_drop_mirrors(&registry);
	for (size_t i = 0; i < registry.count; i++)
		registry.endpoints[i].credentials = *credentials;
	_cleanup_close_ int fd = memfd_create("masu-login", MFD_CLOEXEC);
	if (fd < 0)
		return error_errno(err, -errno, "memfd_create");
	r = fetcher_open(&registry, &fetcher, err);
	if (r == 0)
		r = fetcher_call(fetcher, &request, fd, &reply, err);
	return r < 0 ? r : take_refresh_token(arena, fd, credentials, err);
}

static int login(struct cli_context *context, void *data, int argc, char **argv,
		 struct masu_error *err)
{
	struct login_options *o = data;
	const char *domain = domain_of(context->arena, argv[0]), *where;
	struct registry_credentials credentials = { 0 };
	if (!domain)
		return error_set(err, -ENOMEM, "out of memory");
	int r = ask(context->arena, o, &credentials, err);
	if (r == 0)
		r = prove(context->arena, domain, &credentials, err);
	if (r == 0)
		r = registry_credentials_store(context->arena, domain, &credentials, &where, err);
	if (r < 0)
		return error_wrap(err, "login to %.200s", domain);
	if (where)
		fprintf(stderr,
			"\nWARNING! Your credentials are stored unencrypted in '%s'.\nConfigure a "
			"credential helper to remove this warning.\n\n",
			where);
	printf("Login Succeeded\n");
	return 0;
}

static int logout(struct cli_context *context, void *data, int argc, char **argv,
		  struct masu_error *err)
{
	const char *domain = domain_of(context->arena, argv[0]), *where;
	struct registry_credentials known = { 0 };
	if (!domain)
		return error_set(err, -ENOMEM, "out of memory");
	int r = registry_credentials_find(context->arena, domain, NULL, &known, err);
	if (r < 0)
		return r;
	if (!registry_credentials_known(&known)) {
		printf("Not logged in to %s\n", domain);
		return 0;
	}
	printf("Removing login credentials for %s\n", domain);
	return registry_credentials_store(context->arena, domain, NULL, &where, err);
}

const struct cli_command login_command = { LOGIN_COMMAND, .run = login };
const struct cli_command logout_command = { LOGOUT_COMMAND, .run = logout };
