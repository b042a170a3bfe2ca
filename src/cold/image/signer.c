#include "cold/image/signer.h"

#include <errno.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/syscalls.h"

#define SOCKET	    3
#define ANSWER_MAX  512
#define REQUEST_MAX 65536
#define PASSPHRASE  "COSIGN_PASSWORD"

struct signer {
	pid_t pid;
	int socket;
};

/* One packet: what failed, or the public key in DER, or a signature in base64. */
struct answer {
	int32_t code;
	uint32_t len;
	char message[MASU_ERROR_MAX];
	unsigned char data[ANSWER_MAX];
};

/* ---- its own process ---- */

static int answer_public(EVP_PKEY *key, struct answer *a)
{
	unsigned char *at = a->data;
	int len = i2d_PUBKEY(key, NULL);
	if (len <= 0 || (size_t)len > sizeof(a->data) || i2d_PUBKEY(key, &at) != len)
		return -EIO;
	a->len = (uint32_t)len;
	return 0;
}

static int answer_signature(EVP_PKEY *key, const char *data, size_t len, struct answer *a,
			    struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const char *text;
	arena_init(&arena, 1u << 20);
	int r = key_sign(key, &arena, data, len, &text, err);
	if (r < 0)
		return r;
	a->len = (uint32_t)strlen(text);
	if (a->len > sizeof(a->data))
		return -E2BIG;
	memcpy(a->data, text, a->len);
	return 0;
}

static void answer_send(struct answer *a, int code, const struct masu_error *err)
{
	a->code = code;
	if (code < 0)
		str_format(a->message, sizeof(a->message), "%s",
			   err->message[0] ? err->message : strerror(-code));
	send(SOCKET, a, sizeof(*a), MSG_NOSIGNAL);
}

static _Noreturn void serve(const char *path, const char *passphrase_file)
{
	static char request[REQUEST_MAX];
	const struct rlimit none = { 0, 0 };
	struct masu_error err = { 0 };
	struct answer answer = { 0 };
	_cleanup_key_ EVP_PKEY *key = NULL;
	ssize_t len;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
	int r = key_read_private(path, passphrase_file, &key, &err);
	if (r == 0)
		r = answer_public(key, &answer);
	answer_send(&answer, r, &err);
	while (r == 0 && (len = recv(SOCKET, request, sizeof(request), 0)) > 0) {
		answer = (struct answer) { 0 };
		r = answer_signature(key, request, (size_t)len, &answer, &err);
		answer_send(&answer, r, &err);
	}
	_exit(r < 0);
}

/* ---- who asks ---- */

static int receive(struct signer *signer, struct answer *ret, struct masu_error *err)
{
	ssize_t n;
	do
		n = recv(signer->socket, ret, sizeof(*ret), 0);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(*ret) || ret->len > sizeof(ret->data))
		return error_set(err, -EIO, "the signer has ended without an answer");
	ret->message[sizeof(ret->message) - 1] = '\0';
	return ret->code < 0 ? error_set(err, ret->code, "%s", ret->message) : 0;
}

static void forget_passphrase(void)
{
	char *text = getenv(PASSPHRASE);
	if (text)
		explicit_bzero(text, strlen(text));
	unsetenv(PASSPHRASE);
}

static struct signer *fork_signer(const char *path, const char *passphrase_file)
{
	int pair[2];
	struct signer *signer = calloc(1, sizeof(*signer));
	if (!signer || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		free(signer);
		return NULL;
	}
	signer->socket = pair[0];
	signer->pid = fork();
	if (signer->pid == 0) {
		if (dup2(pair[1], SOCKET) < 0 || sys_close_range(SOCKET + 1, ~0u, 0) < 0)
			_exit(1);
		serve(path, passphrase_file);
	}
	close(pair[1]);
	if (signer->pid > 0)
		return signer;
	close(pair[0]);
	free(signer);
	return NULL;
}

int signer_start(const char *path, const char *passphrase_file, struct signer **ret,
		 EVP_PKEY **ret_public, struct masu_error *err)
{
	struct answer answer;
	struct signer *signer = fork_signer(path, passphrase_file);
	int r = signer ? 0 : error_errno(err, -errno, "the signer cannot be started");
	forget_passphrase();
	if (r == 0)
		r = receive(signer, &answer, err);
	if (r == 0) {
		const unsigned char *at = answer.data;
		*ret_public = d2i_PUBKEY(NULL, &at, (long)answer.len);
		r = *ret_public ? 0 : error_set(err, -EPROTO, "the signer sends nonsense");
	}
	if (r < 0)
		signer_stop(signer);
	else
		*ret = signer;
	return r;
}

int signer_sign(struct signer *signer, struct arena *arena, const void *data, size_t len,
		const char **ret, struct masu_error *err)
{
	struct answer answer;
	if (len > REQUEST_MAX || send(signer->socket, data, len, MSG_NOSIGNAL) < 0)
		return error_set(err, -EIO, "the signer is gone");
	int r = receive(signer, &answer, err);
	if (r < 0)
		return r;
	*ret = arena_strndup(arena, (const char *)answer.data, answer.len);
	return *ret ? 0 : error_set(err, -ENOMEM, "out of memory");
}

void signer_stop(struct signer *signer)
{
	if (!signer)
		return;
	close(signer->socket);
	kill(signer->pid, SIGKILL);
	while (waitpid(signer->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(signer);
}
