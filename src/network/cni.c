/*
 * `--network cni:NAME`: what plugins of the Container Network Interface make of a container's
 * namespace. They and their configuration are the business of libexec/masu/masu-cni, run once to
 * connect and once to disconnect; this side writes its request, a JSON document, and reads its
 * answer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "network/drivers.h"
#include "network/port.h"
#include "sys/fs.h"

#define ANSWER_MAX (1u << 20)
#define ABOVE	   10 /* descriptors that the helper is given are moved out of each other's way */

extern char **environ;

static const char *name_of(const struct network_request *request)
{
	const char *name = str_after(request->network, "cni:");
	return name ? name : "";
}

/* 3, 4 and 5 are the namespace, root and runroot. */
static int spawn(const char *path, const struct network_request *request, int in, int out,
		 pid_t *ret)
{
	const int given[] = { request->netns_fd, request->root_fd, request->run_fd };
	char *const argv[] = { (char[]) { "masu-cni" }, NULL };
	int fds[ARRAY_SIZE(given)];
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
	for (size_t i = 0; i < ARRAY_SIZE(given); i++) {
		fds[i] = given[i] < 0 ? -1 : fcntl(given[i], F_DUPFD_CLOEXEC, ABOVE);
		if (fds[i] >= 0)
			posix_spawn_file_actions_adddup2(&actions, fds[i], 3 + (int)i);
	}
	int r = -posix_spawn(ret, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	for (size_t i = 0; i < ARRAY_SIZE(given); i++)
		cleanup_close(&fds[i]);
	return r;
}

/* Runs masu-cni with @text as its stdin; its output, an answer or an error line, in @ret. */
static int run_helper(const struct network_request *request, const struct buf *text,
		      struct buf *ret, struct masu_error *err)
{
	char path[PATH_MAX], name[FS_PROC_FD_MAX];
	pid_t pid;
	int status;
	if (!request->libexec ||
	    str_format(path, sizeof(path), "%s/masu-cni", request->libexec) < 0)
		return error_set(err, -ENOENT, "masu-cni not found; is masu installed completely?");
	_cleanup_close_ int in = memfd_create("masu-cni-request", MFD_CLOEXEC);
	_cleanup_close_ int out = memfd_create("masu-cni-answer", MFD_CLOEXEC);
	int r = in < 0 || out < 0 ? -errno : buf_error(text);
	if (r == 0)
		r = fs_write_all(in, text->data, text->len);
	if (r == 0 && lseek(in, 0, SEEK_SET) < 0)
		r = -errno;
	if (r == 0)
		r = spawn(path, request, in, out, &pid);
	if (r < 0)
		return error_errno(err, r, "%s: cannot start; is masu installed completely?", path);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_errno(err, -errno, "masu-cni: wait");
	r = fs_read_at(AT_FDCWD, fs_proc_fd(out, name), ANSWER_MAX, ret);
	if (r < 0)
		return error_errno(err, r, "masu-cni: answer");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	int len = (int)strcspn(buf_str(ret), "\n");
	return error_set(err, -EIO, "%.*s", len ? len : 28,
			 len ? buf_str(ret) : "masu-cni ended without a word");
}

static void put_ports(struct json_writer *w, const struct network_port *ports, size_t count)
{
	char address[INET6_ADDRSTRLEN];
	json_key(w, "portMappings");
	json_begin_array(w);
	for (size_t i = 0; i < count; i++) {
		json_begin_object(w);
		json_field_u64(w, "hostPort", ports[i].host_port);
		json_field_u64(w, "containerPort", ports[i].container_port);
		json_field_string(w, "protocol", port_protocol_name(ports[i].protocol));
		if (ports[i].host_ip_set)
			json_field_string(w, "hostIP",
					  inet_ntop(ports[i].host_family, &ports[i].host_ip,
						    address, sizeof(address)));
		json_end_object(w);
	}
	json_end_array(w);
}

static void put_request(struct buf *text, const struct network_request *request, const char *verb,
			const char *interface)
{
	struct json_writer w;
	const char *ips[] = { request->requested_ip, request->requested_ip6 };
	json_writer_init(&w, text, false);
	json_begin_object(&w);
	json_field_string(&w, "verb", verb);
	json_field_string(&w, "container", request->container_id);
	json_field_string(&w, "network", name_of(request));
	json_field_string(&w, "interface", interface);
	if (request->requested_ip)
		json_field_string(&w, "ip", request->requested_ip);
	if (request->mac_address)
		json_field_string(&w, "mac", request->mac_address);
	json_key(&w, "ips");
	json_begin_array(&w);
	for (size_t i = 0; i < ARRAY_SIZE(ips); i++)
		if (ips[i])
			json_put_string(&w, ips[i]);
	json_end_array(&w);
	put_ports(&w, request->ports, request->port_count);
	json_end_object(&w);
}

static int ask(const struct network_request *request, const char *verb, const char *interface,
	       struct buf *answer, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, ANSWER_MAX);
	put_request(&text, request, verb, interface);
	return run_helper(request, &text, answer, err);
}

static int take_answer(const struct buf *answer, struct arena *arena, struct network_endpoint *ret,
		       struct masu_error *err)
{
	const struct json *document;
	char *text = arena_strndup(arena, buf_str(answer), answer->len);
	if (!text)
		return error_set(err, -ENOMEM, "out of memory");
	if (json_parse(arena, text, answer->len, &document, err) < 0)
		return error_wrap(err, "masu-cni");
	return network_endpoint_load(arena, document, ret, err);
}

static int cni_connect(const struct network_request *request, struct arena *arena,
		       struct network_endpoint *ret, struct masu_error *err)
{
	_cleanup_buf_ struct buf answer;
	char interface[16];
	struct network_request held = *request;
	struct network_port *ports =
		arena_array(arena, struct network_port, request->port_count + 1);
	buf_init(&answer, ANSWER_MAX + 1);
	if (!ports)
		return error_set(err, -ENOMEM, "out of memory");
	if (request->port_count)
		memcpy(ports, request->ports, request->port_count * sizeof(*ports));
	for (size_t i = 0; i < request->port_count; i++)
		if (ports[i].mode == NETWORK_MODE_BPF || port_is_loopback6(&ports[i]))
			return error_set(
				err, -EOPNOTSUPP,
				"port %u cannot have mode=bpf, nor be published at ::1: the "
				"network's plugins publish its ports",
				ports[i].container_port);
	held.ports = ports;
	(void)str_format(interface, sizeof(interface), "eth%u", request->index);
	int r = port_hold(request->container_id, ports, request->port_count, err);
	if (r < 0)
		return r;
	r = network_loopback_up(request->netns_fd, err);
	if (r == 0)
		r = ask(&held, "add", interface, &answer, err);
	if (r == 0) {
		r = take_answer(&answer, arena, ret, err);
		if (r < 0)
			(void)ask(&held, "del", interface, &answer, NULL);
	}
	if (r < 0) {
		port_release(request->container_id);
		return r;
	}
	ret->ports = ports;
	ret->port_count = request->port_count;
	return 0;
}

/* Whether plugins have been asked for anything; what masu-cni writes first and removes last. */
static bool has_record(const struct network_request *request, const char *interface)
{
	char path[128];
	return str_format(path, sizeof(path), "cni/%s-%s.json", request->container_id, interface) <
		       0 ||
	       faccessat(request->root_fd, path, F_OK, 0) == 0;
}

/* What a plugin cannot undo holds nothing up: its record stays, and `system check` tells of it. */
static int cni_disconnect(const struct network_request *request,
			  const struct network_endpoint *endpoint, struct masu_error *err)
{
	_cleanup_buf_ struct buf answer;
	struct masu_error why = { 0 };
	const char *interface = *endpoint->interface ? endpoint->interface : "eth0";
	buf_init(&answer, ANSWER_MAX + 1);
	if (has_record(request, interface) && ask(request, "del", interface, &answer, &why) < 0)
		log_warn("container %.12s: %s; `masu system check` knows of it",
			 request->container_id, why.message);
	port_release(request->container_id);
	return 0;
}

static int nothing_to_do(const struct network_request *request,
			 const struct network_endpoint *endpoint, struct masu_error *err)
{
	return 0;
}

int network_cni_check(const struct network_request *request, const char *interface, bool repair,
		      struct masu_error *err)
{
	_cleanup_buf_ struct buf answer;
	buf_init(&answer, ANSWER_MAX + 1);
	return ask(request, repair ? "del" : "check", interface, &answer, err);
}

const struct network_ops network_cni = {
	.name = "cni",
	.own_namespace = true,
	.connect = cni_connect,
	.settle = nothing_to_do,
	.disconnect = cni_disconnect,
	.repair = nothing_to_do,
};
