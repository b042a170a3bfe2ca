#include "cold/image/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sha256.h"
#include "base/str.h"
#include "cold/image/chunk.h"
#include "cold/image/decoder.h"
#include "cold/image/encoder.h"
#include "cold/image/indexer.h"
#include "cold/image/marks.h"
#include "cold/image/sandbox.h"
#include "cold/image/stages.h"
#include "cold/image/stream.h"
#include "cold/image/writer.h"
#include "sys/fs.h"

#define PIPE_SIZE (1 << 20)

/* A child and the page it reports through. */
struct worker {
	const char *name;
	pid_t pid;
	struct worker_report *report;
};

static int worker_init(struct worker *worker, const char *name, struct masu_error *err)
{
	void *page = mmap(NULL, sizeof(struct worker_report), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return error_set(err, -ENOMEM, "out of memory");
	*worker = (struct worker) { .name = name, .pid = -1, .report = page };
	return 0;
}

static void worker_free(struct worker *worker)
{
	if (worker->pid > 0) {
		kill(worker->pid, SIGKILL);
		waitpid(worker->pid, NULL, 0);
	}
	if (worker->report)
		munmap(worker->report, sizeof(*worker->report));
	*worker = (struct worker) { .pid = -1 };
}
#define _cleanup_worker_ _cleanup_(worker_free)

/* The end of a worker process: no exit handlers, which belong to the parent. */
static _Noreturn void worker_exit(struct worker_report *report, int code,
				  const struct masu_error *err)
{
	report->code = code;
	memcpy(report->message, err->message, sizeof(report->message));
	report->finished = true;
	_exit(code ? 1 : 0);
}

/* 0, or the worker's failure. Its message is data: cut at its end, without control characters. */
static int worker_wait(struct worker *worker, struct masu_error *err)
{
	int status;
	pid_t pid = stages_wait(worker->pid, worker->name, &status);
	worker->pid = -1;
	if (pid < 0)
		return error_errno(err, pid, "waiting for the %s", worker->name);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return error_set(err, -EPERM, "the %s was stopped by its sandbox", worker->name);
	if (WIFSIGNALED(status) || !worker->report->finished)
		return error_set(err, -EIO, "the %s died of signal %d", worker->name,
				 WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	int code = worker->report->code;
	if (code >= 0)
		return 0;
	char message[MASU_ERROR_MAX];
	memcpy(message, worker->report->message, sizeof(message));
	message[sizeof(message) - 1] = '\0';
	for (char *p = message; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	return error_set(err, code, "%s", message);
}

/* SHA-256 ready for use: looking algorithms up reads files, which the sandbox forbids. */
static EVP_MD_CTX *sha256_context(void)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1)
		return context;
	EVP_MD_CTX_free(context);
	return NULL;
}

static int make_pipe(int ret[2], struct masu_error *err)
{
	if (pipe2(ret, O_CLOEXEC) < 0)
		return error_errno(err, -errno, "pipe");
	/* Only speed: an unprivileged limit may refuse it. */
	fcntl(ret[0], F_SETPIPE_SZ, PIPE_SIZE);
	return 0;
}

/*
 * fork(), the child with SIGPIPE ignored. It holds what its caller holds, locks and the other end
 * of what it reads among it, so it does not outlive it, from the start: the box is closed only when
 * there is something to read.
 */
static pid_t worker_fork(struct worker *worker)
{
	struct masu_error err = { 0 };
	pid_t caller = getpid();
	worker->pid = fork();
	if (worker->pid != 0)
		return worker->pid;
	signal(SIGPIPE, SIG_IGN);
	int r = prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? error_errno(&err, -errno, "prctl") : 0;
	if (r == 0 && getppid() != caller)
		r = error_set(&err, -EPIPE, "nobody reads the answer");
	if (r < 0)
		worker_exit(worker->report, r, &err);
	return 0;
}

static _Noreturn void run_layer_decoder(int in, int out, const struct unpack_target *target,
					EVP_MD_CTX *sha256, struct worker_report *report)
{
	struct masu_error err = { 0 };
	int copy = target->tar_is_there ? -1 : target->tar_fd;
	const int fds[] = { in, out, copy };
	int r = stream_prepare(in, &err);
	if (r == 0)
		r = sandbox_decoder(fds, copy < 0 ? 2 : 3, &err);
	if (r == 0)
		r = target->plain ? decode_tree(in, out, sha256, report, &err)
		    : target->directory_fd >= 0
			    ? decode_layer(in, out, sha256, report, &err)
			    : decode_indexed(in, out, copy, sha256, report, &err);
	worker_exit(report, r, &err);
}

static _Noreturn void run_writer(int in, int root, int marks_fd, bool onto,
				 struct worker_report *report)
{
	struct masu_error err = { 0 };
	const int fds[] = { in, root, marks_fd };
	int r = sandbox_writer(root, fds, ARRAY_SIZE(fds), &err);
	if (r == 0)
		r = write_layer(in, root, marks_fd, onto, report, &err);
	worker_exit(report, r, &err);
}

static _Noreturn void run_indexer(struct index_job *job, struct worker_report *report)
{
	struct masu_error err = { 0 };
	const int fds[] = { job->in, job->index_fd, job->tar_fd, job->marks_fd };
	int r = clock_gettime(CLOCK_REALTIME, &job->now) < 0 ||
				getrandom(job->random, sizeof(job->random), 0) < 0
			? -errno
			: 0;
	if (r == 0)
		r = sandbox_indexer(fds, ARRAY_SIZE(fds), &err);
	if (r == 0)
		r = index_layer(job, report, &err);
	worker_exit(report, r, &err);
}

static _Noreturn void run_second(int in, const struct unpack_target *target, int marks_fd,
				 struct worker_report *report)
{
	struct index_job job = { .in = in,
				 .index_fd = target->index_fd,
				 .tar_fd = target->tar_fd,
				 .marks_fd = marks_fd };
	if (target->directory_fd < 0)
		run_indexer(&job, report);
	run_writer(in, target->directory_fd, marks_fd, target->onto, report);
}

static int start_layer_workers(struct worker *decoder, struct worker *writer, int blob_fd,
			       const struct unpack_target *target, int marks_fd,
			       struct masu_error *err)
{
	int ends[2];
	int r = make_pipe(ends, err);
	if (r < 0)
		return r;
	_cleanup_close_ int reader = ends[0], sender = ends[1];
	EVP_MD_CTX *sha256 = target->digest ? NULL : sha256_context();
	if (!sha256 && !target->digest)
		return error_set(err, -ENOMEM, "out of memory");
	if (worker_fork(decoder) == 0)
		run_layer_decoder(blob_fd, sender, target, sha256, decoder->report);
	r = decoder->pid < 0 ? -errno : 0;
	EVP_MD_CTX_free(sha256);
	if (r == 0) {
		if (worker_fork(writer) == 0)
			run_second(reader, target, marks_fd, writer->report);
		r = writer->pid < 0 ? -errno : 0;
	}
	return r < 0 ? error_errno(err, r, "fork") : 0;
}

/*
 * The decoder's failure is the cause where both failed: the writer then only misses the end. The
 * other way round the decoder writes into a pipe that nobody reads.
 */
static int wait_for_both(struct worker *decoder, struct worker *writer, struct masu_error *err)
{
	struct masu_error decoder_err = { 0 }, writer_err = { 0 };
	int d = worker_wait(decoder, &decoder_err);
	int w = worker_wait(writer, &writer_err);
	if (d == 0 && w == 0)
		return 0;
	*err = (d < 0 && d != -EPIPE) || w == 0 ? decoder_err : writer_err;
	return err->code;
}

struct unpacking {
	struct worker decoder, writer;
	int marks_fd;
	struct unpack_target target;
};

void unpack_abort(struct unpacking *unpacking)
{
	worker_free(&unpacking->decoder);
	worker_free(&unpacking->writer);
	cleanup_close(&unpacking->marks_fd);
	free(unpacking);
}

int unpack_begin(int in_fd, const struct unpack_target *target, struct unpacking **ret,
		 struct masu_error *err)
{
	struct unpacking *u = calloc(1, sizeof(*u));
	if (!u)
		return error_set(err, -ENOMEM, "out of memory");
	*u = (struct unpacking) { .decoder = { .pid = -1 },
				  .writer = { .pid = -1 },
				  .marks_fd = memfd_create("marks", MFD_CLOEXEC),
				  .target = *target };
	int r = u->marks_fd < 0 ? error_errno(err, -errno, "memfd_create") : 0;
	if (r == 0)
		r = worker_init(&u->decoder, "decoder", err);
	if (r == 0)
		r = worker_init(&u->writer, target->directory_fd < 0 ? "indexer" : "unpacker", err);
	if (r == 0)
		r = start_layer_workers(&u->decoder, &u->writer, in_fd, target, u->marks_fd, err);
	if (r < 0)
		unpack_abort(u);
	else
		*ret = u;
	return r;
}

int unpack_end(struct unpacking *u, const int *below, size_t below_count,
	       struct unpacked_layer *ret, struct masu_error *err)
{
	char hex[SHA256_HEX + 1];
	int r = wait_for_both(&u->decoder, &u->writer, err);
	if (r == 0 && !u->target.onto)
		r = u->target.directory_fd < 0 ? marks_apply_index(u->marks_fd, u->target.index_fd,
								   below, below_count, err)
					       : marks_apply(u->marks_fd, u->target.directory_fd,
							     below, below_count, err);
	if (r == 0) {
		sha256_to_hex(u->decoder.report->sha256, hex);
		str_format(ret->diff_id, sizeof(ret->diff_id), "sha256:%s", hex);
		if (u->target.digest)
			str_format(ret->diff_id, sizeof(ret->diff_id), "%s", u->target.digest);
		ret->size = u->writer.report->bytes;
		ret->entries = u->writer.report->entries;
	}
	unpack_abort(u);
	return r;
}

int unpack_layer(int blob_fd, const struct unpack_target *target, const int *below,
		 size_t below_count, struct unpacked_layer *ret, struct masu_error *err)
{
	struct unpacking *unpacking;
	if (lseek(blob_fd, 0, SEEK_SET) < 0)
		return error_errno(err, -errno, "layer blob");
	int r = unpack_begin(blob_fd, target, &unpacking, err);
	return r < 0 ? r : unpack_end(unpacking, below, below_count, ret, err);
}

struct decoder_process {
	struct worker worker;
};

/* What a lone worker runs: a job, or one of the decoder's modes. */
struct task {
	const char *name;
	sandboxed_job job;
	producer_job producer;
	EVP_MD_CTX *encoder;		/* ready for what is compressed */
	const struct chunk_job *chunks; /* by the chunker; NULL: by the encoder */
	enum decoder_mode mode;
	void *data;
	int in; /* -1: none */
};

static int run_job(const struct task *task, int out, struct masu_error *err)
{
	struct buf text;
	buf_init(&text, 0);
	int r = task->job(task->data, &text, err);
	if (r == 0 && buf_error(&text) < 0)
		r = error_set(err, buf_error(&text), "out of memory");
	if (r == 0 && fs_write_all(out, buf_str(&text), text.len) < 0)
		r = error_set(err, -EPIPE, "nobody reads the answer");
	return r;
}

static _Noreturn void run_task(const struct task *task, int out, struct worker_report *report)
{
	struct masu_error err = { 0 };
	const int fds[] = { out, task->in };
	if (task->producer)
		worker_exit(report, task->producer(task->data, out, &err), &err);
	bool decodes = !task->job && !task->encoder;
	int r = decodes ? stream_prepare(task->in, &err) : 0;
	if (r == 0)
		r = sandbox_decoder(fds, task->in < 0 ? 1 : 2, &err);
	if (r == 0 && task->job)
		r = run_job(task, out, &err);
	else if (r == 0 && task->chunks)
		r = chunk_pack(task->chunks, task->in, out, task->encoder, report, &err);
	else if (r == 0 && task->encoder)
		r = encode_gzip(task->in, out, task->encoder, report, &err);
	else if (r == 0)
		r = task->mode == DECODER_ARCHIVE ? decode_archive(task->in, out, &err)
						  : decode_plain(task->in, out, &err);
	worker_exit(report, r, &err);
}

static int task_start(const struct task *task, struct worker *worker, int *ret_fd,
		      struct masu_error *err)
{
	int ends[2];
	int r = worker_init(worker, task->name, err);
	if (r == 0)
		r = make_pipe(ends, err);
	if (r < 0) {
		worker_free(worker);
		return r;
	}
	if (worker_fork(worker) == 0) {
		close(ends[0]); /* else a producer would not notice that nobody reads */
		run_task(task, ends[1], worker->report);
	}
	r = worker->pid < 0 ? -errno : 0;
	close(ends[1]);
	if (r < 0) {
		close(ends[0]);
		worker_free(worker);
		return error_errno(err, r, "fork");
	}
	*ret_fd = ends[0];
	return 0;
}

static int process_start(const struct task *task, struct decoder_process **ret, int *ret_fd,
			 struct masu_error *err)
{
	struct decoder_process *process = calloc(1, sizeof(*process));
	if (!process)
		return error_set(err, -ENOMEM, "out of memory");
	int r = task_start(task, &process->worker, ret_fd, err);
	if (r < 0)
		free(process);
	else
		*ret = process;
	return r;
}

int decoder_start(enum decoder_mode mode, int in_fd, struct decoder_process **ret, int *ret_fd,
		  struct masu_error *err)
{
	const struct task task = { .name = "decoder", .mode = mode, .in = in_fd };
	return process_start(&task, ret, ret_fd, err);
}

int producer_start(producer_job job, void *data, struct decoder_process **ret, int *ret_fd,
		   struct masu_error *err)
{
	const struct task task = { .name = "reader", .producer = job, .data = data, .in = -1 };
	return process_start(&task, ret, ret_fd, err);
}

static int start_hashing(const char *name, const struct chunk_job *chunks, int in_fd,
			 struct decoder_process **ret, int *ret_fd, struct masu_error *err)
{
	EVP_MD_CTX *sha256 = sha256_context();
	const struct task task = { .name = name, .encoder = sha256, .chunks = chunks, .in = in_fd };
	int r = sha256 ? process_start(&task, ret, ret_fd, err)
		       : error_set(err, -ENOMEM, "out of memory");
	EVP_MD_CTX_free(sha256);
	return r;
}

int encoder_start(int in_fd, struct decoder_process **ret, int *ret_fd, struct masu_error *err)
{
	return start_hashing("encoder", NULL, in_fd, ret, ret_fd, err);
}

int chunker_start(uint32_t average, int in_fd, struct decoder_process **ret, int *ret_fd,
		  struct masu_error *err)
{
	const struct chunk_job job = { .average = average };
	return start_hashing("chunker", &job, in_fd, ret, ret_fd, err);
}

/* Whose failure is the cause: the process's @r, or the caller's @failure. */
static int process_end(struct decoder_process *process, int r, const struct masu_error *own,
		       int failure, struct masu_error *err)
{
	worker_free(&process->worker);
	free(process);
	if (r == 0 || (failure < 0 && r == -EPIPE && failure != -EPIPE))
		return failure;
	if (err)
		*err = *own;
	return r;
}

int encoder_finish(struct decoder_process *process, int failure, char ret_digest[DIGEST_MAX],
		   uint64_t *ret_bytes, struct masu_error *err)
{
	struct masu_error own = { 0 };
	char hex[SHA256_HEX + 1];
	int r = worker_wait(&process->worker, &own);
	sha256_to_hex(process->worker.report->sha256, hex);
	str_format(ret_digest, DIGEST_MAX, "sha256:%s", hex);
	*ret_bytes = process->worker.report->bytes;
	return process_end(process, r, &own, failure, err);
}

int decoder_finish(struct decoder_process *process, int failure, struct masu_error *err)
{
	struct masu_error own = { 0 };
	int r = worker_wait(&process->worker, &own);
	return process_end(process, r, &own, failure, err);
}

int sandboxed_run(sandboxed_job job, void *data, size_t limit, struct buf *ret,
		  struct masu_error *err)
{
	_cleanup_worker_ struct worker worker = { .pid = -1 };
	const struct task task = { .name = "decoder", .job = job, .data = data, .in = -1 };
	char path[FS_PROC_FD_MAX];
	int fd = -1;
	int r = task_start(&task, &worker, &fd, err);
	if (r < 0)
		return r;
	int got = fs_read_at(AT_FDCWD, fs_proc_fd(fd, path), limit, ret);
	close(fd);
	r = worker_wait(&worker, err);
	return r < 0 || got == 0 ? r : error_errno(err, got, "the decoder's answer");
}
