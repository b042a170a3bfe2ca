/* libexec/masu/masu-check: `masu system check`, whether all that masu keeps is as it should be. */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/session.h"
#include "cold/system/verbs.h"
#include "engine/check.h"

#define CHUNK (256u << 10)

static int read_into(int fd, EVP_MD_CTX *hash)
{
	_cleanup_free_ char *chunk = malloc(CHUNK);
	ssize_t n;
	if (!chunk)
		return -ENOMEM;
	while ((n = read(fd, chunk, CHUNK)) != 0) {
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && EVP_DigestUpdate(hash, chunk, (size_t)n) != 1)
			return -EIO;
	}
	return 0;
}

/* By the CPU's own instructions: several times as fast as what the hot program has. */
static int hash_file(int fd, uint8_t ret[SHA256_SIZE])
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	int r = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
	if (r == 0)
		r = read_into(fd, hash);
	if (r == 0 && EVP_DigestFinal_ex(hash, ret, NULL) != 1)
		r = -EIO;
	EVP_MD_CTX_free(hash);
	return r;
}

struct printer {
	bool repair;
	size_t count;
};

/* Where, what, and what becomes of it: one line. */
static void print_finding(void *opaque, const struct check_finding *finding)
{
	struct printer *printer = opaque;
	printer->count++;
	printf("%s: %s; ", finding->where, finding->what);
	if (!finding->mendable)
		printf("%s\n", finding->remedy);
	else if (!printer->repair)
		printf("with --repair %s\n", finding->remedy);
	else if (finding->result < 0)
		printf("not mended: %s\n", strerror(-finding->result));
	else
		printf("mended: %s\n", finding->remedy);
	fflush(stdout);
}

static int check_run(struct cli_context *context, void *pointer, int argc, char **argv,
		     struct masu_error *err)
{
	const struct check_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	struct printer printer = { .repair = options->repair };
	size_t left;
	int r = session_open(context, &engine, err);
	if (r == 0)
		r = engine_check(&engine, options->repair, hash_file, print_finding, &printer,
				 &left, err);
	if (r < 0)
		return r;
	return left ? 1 : 0;
}

static const struct cli_command check = { SYSTEM_CHECK_COMMAND, .run = check_run };
static const struct cli_command *const system_verbs[] = { &check, NULL };
static const struct cli_command system_group = { .name = "system",
						 .synopsis = "COMMAND",
						 .subcommands = system_verbs };
static const struct cli_command *const groups[] = { &system_group, NULL };

const struct cli_command root_command = {
	.name = "masu",
	.synopsis = "[OPTIONS] COMMAND",
	.summary = "Verify what masu keeps",
	.subcommands = groups,
};
