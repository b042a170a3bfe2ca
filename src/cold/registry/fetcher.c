#include "cold/registry/fetch.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/trace.h"
#include "cold/image/sandbox.h"
#include "cold/image/stages.h"
#include "cold/registry/libcurl.h"
#include "cold/registry/loop.h"

struct fetcher {
	pid_t pid;
	int socket;
};

/* Whether the item of a NO_PROXY list, "host:port" (Go's httpproxy), is for the endpoint. */
static bool is_endpoints(const char *item, size_t len, const char *base)
{
	const char *port = memrchr(item, ':', len), *host = strstr(base, "://");
	host = host ? host + 3 : base;
	size_t at = strcspn(host, "/"), name = port ? (size_t)(port - item) : len;
	const char *own = memrchr(host, ':', at);
	bool numbered = own && !memchr(own, ']', at - (size_t)(own - host));
	size_t host_len = numbered ? (size_t)(own - host) : at;
	const char *number = numbered ? own + 1 : str_after(base, "http://") ? "80" : "443";
	size_t number_len = numbered ? at - host_len - 1 : strlen(number);
	if (!port || len - name - 1 != number_len || memcmp(port + 1, number, number_len) != 0)
		return false;
	if (*item == '.')
		item++, name--;
	return name && name <= host_len && strncasecmp(host + host_len - name, item, name) == 0 &&
	       (name == host_len || host[host_len - name - 1] == '.');
}

/* libcurl knows no ports in the list: what names one of the registry's places is added without. */
static int add_direct(const struct registry *registry, const char *list, char *ret, size_t size)
{
	int r = 0;
	for (const char *item = list; *item && r == 0; item += strspn(item, ", ")) {
		size_t len = strcspn(item, ", ");
		for (size_t i = 0; i < registry->count && r == 0; i++) {
			const char *host = strstr(registry->endpoints[i].base, "://");
			size_t used = strlen(ret);
			if (host && is_endpoints(item, len, registry->endpoints[i].base))
				r = str_format(ret + used, size - used, ",%.*s",
					       host[3] == '[' ? (int)strcspn(host + 3, "]") + 1
							      : (int)strcspn(host + 3, ":/"),
					       host + 3);
		}
		item += len;
	}
	return r;
}

/*
 * As docker has it, beyond what libcurl does by itself: daemon.json's proxies, HTTP_PROXY in
 * capitals too, and this machine without a proxy.
 */
static int settle_proxies(const struct registry *registry)
{
	char list[8192];
	const char *plain = registry->http_proxy, *secure = registry->https_proxy;
	const char *direct = registry->no_proxy;
	if (!plain && !getenv("http_proxy"))
		plain = getenv("HTTP_PROXY");
	if (!direct)
		direct = getenv("no_proxy");
	if (!direct)
		direct = getenv("NO_PROXY");
	if ((plain && setenv("http_proxy", plain, 1) < 0) ||
	    (secure && setenv("https_proxy", secure, 1) < 0))
		return -errno;
	if (direct && streq(direct, "*"))
		return 0;
	int r = str_format(list, sizeof(list), "%s%slocalhost,127.0.0.0/8,::1",
			   direct ? direct : "", direct && *direct ? "," : "");
	if (r == 0 && direct)
		r = add_direct(registry, direct, list, sizeof(list));
	return r < 0 ? r : setenv("no_proxy", list, 1) < 0 ? -errno : 0;
}

static _Noreturn void run_fetcher(int socket, const struct registry *registry)
{
	struct masu_error err = { 0 };
	struct fetch_reply failed = { .type = FETCH_DONE };
	trace_process("fetcher");
	signal(SIGPIPE, SIG_IGN);
	int r = settle_proxies(registry);
	if (r == 0)
		r = libcurl_load(&err);
	trace_mark("libcurl");
	if (r == 0)
		r = sandbox_fetcher(&socket, 1, &err);
	trace_mark("boxed");
	if (r == 0)
		r = fetch_loop(socket, registry);
	if (r < 0) {
		/* Whoever waits for an answer gets this one, whatever it asked. */
		failed.code = r;
		str_format(failed.message, sizeof(failed.message), "%s",
			   err.message[0] ? err.message : strerror(-r));
		send(socket, &failed, sizeof(failed), MSG_NOSIGNAL);
	}
	_exit(r < 0);
}

int fetch_request_init(struct fetch_request *ret, enum fetch_kind kind, const char *repository,
		       const char *collection, const char *name, bool push)
{
	*ret = (struct fetch_request) { .kind = kind };
	int r = str_format(ret->path, sizeof(ret->path), "/v2/%s/%s/%s", repository, collection,
			   name);
	if (r == 0)
		r = str_format(ret->scope, sizeof(ret->scope), "repository:%s:pull%s", repository,
			       push ? ",push" : "");
	return r;
}

int fetcher_open(const struct registry *registry, struct fetcher **ret, struct masu_error *err)
{
	int pair[2];
	struct fetcher *fetcher = calloc(1, sizeof(*fetcher));
	if (!fetcher)
		return error_set(err, -ENOMEM, "out of memory");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		free(fetcher);
		return error_errno(err, -errno, "cannot reach the fetcher");
	}
	fetcher->socket = pair[0];
	fetcher->pid = fork();
	if (fetcher->pid == 0) {
		close(pair[0]);
		run_fetcher(pair[1], registry);
	}
	int r = fetcher->pid < 0 ? -errno : 0;
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		free(fetcher);
		return error_errno(err, r, "fork");
	}
	*ret = fetcher;
	return 0;
}

void fetcher_stop(struct fetcher *fetcher)
{
	if (fetcher->socket < 0)
		return;
	cleanup_close(&fetcher->socket);
	kill(fetcher->pid, SIGKILL);
}

void fetcher_close(struct fetcher *fetcher)
{
	int status;
	fetcher_stop(fetcher);
	stages_wait(fetcher->pid, "fetcher", &status);
	free(fetcher);
}

int fetcher_send(struct fetcher *fetcher, const struct fetch_request *request, int file, int pipe,
		 struct masu_error *err)
{
	char control[CMSG_SPACE(2 * sizeof(int))] = { 0 };
	const int fds[2] = { file, pipe };
	size_t size = (pipe >= 0 ? 2 : 1) * sizeof(int);
	struct iovec part = { (void *)request, sizeof(*request) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	if (file >= 0) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(size);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(header), fds, size);
	}
	/* Where it has ended, what it had to say waits to be received. */
	if (sendmsg(fetcher->socket, &message, MSG_NOSIGNAL) < 0 && errno != EPIPE)
		return error_errno(err, -errno, "the fetcher is gone");
	return 0;
}

/* Text from the box: terminated, and nothing in it that a terminal would act on. */
static void make_harmless(char *text, size_t size)
{
	text[size - 1] = '\0';
	str_make_printable(text, false);
}

int fetcher_receive(struct fetcher *fetcher, struct fetch_reply *ret, struct masu_error *err)
{
	ssize_t n;
	do
		n = recv(fetcher->socket, ret, sizeof(*ret), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_errno(err, -errno, "the fetcher");
	if (n != sizeof(*ret)) {
		int status = 0;
		pid_t pid = waitpid(fetcher->pid, &status, WNOHANG);
		if (pid == fetcher->pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
			return error_set(err, -EPERM, "the fetcher was stopped by its sandbox");
		return error_set(err, -EIO, "the fetcher has ended without an answer");
	}
	make_harmless(ret->media_type, sizeof(ret->media_type));
	make_harmless(ret->digest, sizeof(ret->digest));
	make_harmless(ret->link, sizeof(ret->link));
	make_harmless(ret->message, sizeof(ret->message));
	if (ret->code > 0 || (ret->type != FETCH_DONE && ret->type != FETCH_PROGRESS))
		return error_set(err, -EPROTO, "the fetcher sends nonsense");
	return 0;
}

int fetcher_call(struct fetcher *fetcher, const struct fetch_request *request, int file,
		 struct fetch_reply *ret, struct masu_error *err)
{
	int r = fetcher_send(fetcher, request, file, -1, err);
	if (r < 0)
		return r;
	do {
		r = fetcher_receive(fetcher, ret, err);
		if (r < 0)
			return r;
	} while (ret->type != FETCH_DONE);
	if (ret->code < 0)
		return error_set(err, ret->code, "%s", ret->message);
	return 0;
}
