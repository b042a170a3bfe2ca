/* The calls: a transient unit started, changed, stopped; each waits for systemd's own end of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/systemd/systemd.h"

#define SERVICE	       "org.freedesktop.systemd1"
#define MANAGER_PATH   "/org/freedesktop/systemd1"
#define MANAGER	       SERVICE ".Manager"
#define JOB_TIMEOUT_US (30 * UINT64_C(1000000))

struct job {
	char *path;   /* of the job waited for, once known */
	char *result; /* "done", "failed", … */
	/* A job may end before the reply that names it has been read. */
	struct {
		char *path, *result;
	} early[8];
	size_t early_count;
};

static void job_free(struct job *job)
{
	free(job->path);
	free(job->result);
	for (size_t i = 0; i < job->early_count; i++) {
		free(job->early[i].path);
		free(job->early[i].result);
	}
}
#define _cleanup_job_ __attribute__((cleanup(job_free)))

static void message_unref(sd_bus_message **m)
{
	sd_bus_message_unref(*m);
}
#define _cleanup_message_   __attribute__((cleanup(message_unref)))
#define _cleanup_bus_error_ __attribute__((cleanup(sd_bus_error_free)))

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct job *job = userdata;
	const char *path, *unit, *result;
	uint32_t id;
	if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) < 0)
		return 0;
	if (job->path && streq(job->path, path)) {
		job->result = strdup(result);
	} else if (!job->path && job->early_count < ARRAY_SIZE(job->early)) {
		job->early[job->early_count].path = strdup(path);
		job->early[job->early_count++].result = strdup(result);
	}
	return 0;
}

static int watch_jobs(sd_bus *bus, struct job *job, struct masu_error *err)
{
	int r = sd_bus_match_signal(bus, NULL, SERVICE, MANAGER_PATH, MANAGER, "JobRemoved",
				    on_job_removed, job);
	return r < 0 ? error_errno(err, r, "systemd: watch for finished jobs") : 0;
}

static uint64_t now_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Waits for the job of @reply; its result in job->result. */
static int wait_job(sd_bus *bus, struct job *job, sd_bus_message *reply, struct masu_error *err)
{
	const char *path;
	int r = sd_bus_message_read(reply, "o", &path);
	if (r < 0)
		return error_errno(err, r, "systemd: answer without a job");
	job->path = strdup(path);
	if (!job->path)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < job->early_count && !job->result; i++)
		if (job->early[i].path && streq(job->early[i].path, path))
			job->result = take_ptr(job->early[i].result);
	uint64_t deadline = now_us() + JOB_TIMEOUT_US;
	while (!job->result) {
		r = sd_bus_process(bus, NULL);
		if (r > 0)
			continue;
		uint64_t now = now_us();
		if (r == 0 && now >= deadline)
			return error_set(err, -ETIMEDOUT, "systemd did not finish the job in 30 s");
		if (r == 0)
			r = sd_bus_wait(bus, deadline - now);
		if (r < 0 && r != -EINTR)
			return error_errno(err, r, "systemd: wait for the job");
	}
	return 0;
}

static int new_call(sd_bus *bus, sd_bus_message **ret, const char *method)
{
	return sd_bus_message_new_method_call(bus, ret, SERVICE, MANAGER_PATH, MANAGER, method);
}

static int bus_failed(const sd_bus_error *error, int r, const char *what, struct masu_error *err)
{
	return error_set(err, r, "systemd: %s: %s", what,
			 error->message ? error->message : strerror(-r));
}

/* What every container's unit has; the lists below may override it. */
static int append_defaults(sd_bus_message *m, const struct json *request, bool slice_unit)
{
	const char *slice = "", *description = "";
	int64_t pid = 0;
	bool v2 = false;
	json_string(json_get(request, "slice"), &slice);
	json_string(json_get(request, "description"), &description);
	json_i64(json_get(request, "pid"), &pid);
	json_bool(json_get(request, "v2"), &v2);
	char text[256];
	str_format(text, sizeof(text), "masu container %.200s", description);
	int r = sd_bus_message_append(m, "(sv)", "Description", "s", text);
	/* A slice's parent is in its name; a scope is put into its slice and is the container's. */
	if (r >= 0 && slice_unit)
		r = sd_bus_message_append(m, "(sv)", "Wants", "as", 1, slice);
	else if (r >= 0)
		r = sd_bus_message_append(m, "(sv)(sv)(sv)", "Slice", "s", slice, "Delegate", "b",
					  1, "PIDs", "au", 1, (uint32_t)pid);
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)", "MemoryAccounting", "b", 1,
					  "CPUAccounting", "b", 1, "TasksAccounting", "b", 1,
					  v2 ? "IOAccounting" : "BlockIOAccounting", "b", 1,
					  "DefaultDependencies", "b", 0);
	return r;
}

static int append_properties(sd_bus_message *m, const struct json *request, struct masu_error *err)
{
	int r = 0;
	json_foreach (property, json_get(request, "properties")) {
		r = property_append(m, property, err);
		if (r < 0)
			return r;
	}
	json_foreach (annotation, json_get(request, "annotations")) {
		const char *text = "";
		json_string(annotation, &text);
		r = property_append_annotation(m, annotation->key, text, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int send_start(sd_bus *bus, const struct json *request, const char *unit,
		      sd_bus_message **reply, sd_bus_error *error, struct masu_error *err)
{
	_cleanup_message_ sd_bus_message *m = NULL;
	int r = new_call(bus, &m, "StartTransientUnit");
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", unit, "replace");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = append_defaults(m, request, str_ends_with(unit, ".slice"));
	if (r >= 0) {
		r = append_properties(m, request, err);
		if (r < 0)
			return r;
	}
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_message_append(m, "a(sa(sv))", 0);
	if (r < 0)
		return error_errno(err, r, "systemd: request");
	r = sd_bus_call(bus, m, 0, error, reply);
	return r < 0 ? bus_failed(error, r, "start the unit", err) : 0;
}

/* A failed unit keeps its name until it is reset. */
static void reset_failed(sd_bus *bus, const char *unit)
{
	_cleanup_bus_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_call_method(bus, SERVICE, MANAGER_PATH, MANAGER, "ResetFailedUnit", &error, NULL,
			   "s", unit);
}

static int control_group(sd_bus *bus, const char *unit, char **ret, struct masu_error *err)
{
	_cleanup_bus_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
	char *path = NULL;
	int r = sd_bus_path_encode(MANAGER_PATH "/unit", unit, &path);
	if (r >= 0)
		r = sd_bus_get_property_string(bus, SERVICE, path,
					       str_ends_with(unit, ".slice") ? SERVICE ".Slice"
									     : SERVICE ".Scope",
					       "ControlGroup", &error, ret);
	free(path);
	return r < 0 ? bus_failed(&error, r, "the unit's group", err) : 0;
}

static int unit_of(const struct json *request, const char **ret, struct masu_error *err)
{
	if (!json_string(json_get(request, "unit"), ret) || !**ret)
		return error_set(err, -EINVAL, "request without a unit");
	return 0;
}

/* What every request that starts a job begins with; @job is the caller's to clean up. */
static int begin_job(sd_bus *bus, const struct json *request, const char **ret_unit,
		     struct job *job, struct masu_error *err)
{
	int r = unit_of(request, ret_unit, err);
	return r < 0 ? r : watch_jobs(bus, job, err);
}

int unit_start(sd_bus *bus, const struct json *request, char **ret_group, struct masu_error *err)
{
	const char *unit;
	_cleanup_job_ struct job job = { 0 };
	int r = begin_job(bus, request, &unit, &job, err);
	if (r < 0)
		return r;
	_cleanup_message_ sd_bus_message *reply = NULL;
	_cleanup_bus_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
	r = send_start(bus, request, unit, &reply, &error, err);
	if (r < 0 && sd_bus_error_has_name(&error, SERVICE ".UnitExists")) {
		/* Perhaps only the failed remains of an earlier container: once more without. */
		reset_failed(bus, unit);
		sd_bus_error_free(&error);
		error_clear(err);
		r = send_start(bus, request, unit, &reply, &error, err);
	}
	if (r == 0)
		r = wait_job(bus, &job, reply, err);
	if (r < 0)
		return r;
	if (!streq(job.result, "done")) {
		reset_failed(bus, unit);
		return error_set(err, -EIO, "systemd: start of the unit: %s", job.result);
	}
	return control_group(bus, unit, ret_group, err);
}

int unit_set(sd_bus *bus, const struct json *request, struct masu_error *err)
{
	const char *unit;
	int r = unit_of(request, &unit, err);
	if (r < 0)
		return r;
	_cleanup_message_ sd_bus_message *m = NULL;
	_cleanup_bus_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
	r = new_call(bus, &m, "SetUnitProperties");
	if (r >= 0)
		r = sd_bus_message_append(m, "sb", unit, 1); /* until the next boot */
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0) {
		r = append_properties(m, request, err);
		if (r < 0)
			return r;
	}
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r < 0)
		return error_errno(err, r, "systemd: request");
	r = sd_bus_call(bus, m, 0, &error, NULL);
	return r < 0 ? bus_failed(&error, r, "change the unit", err) : 0;
}

int unit_stop(sd_bus *bus, const struct json *request, struct masu_error *err)
{
	const char *unit;
	_cleanup_job_ struct job job = { 0 };
	int r = begin_job(bus, request, &unit, &job, err);
	if (r < 0)
		return r;
	_cleanup_message_ sd_bus_message *reply = NULL;
	_cleanup_bus_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
	r = sd_bus_call_method(bus, SERVICE, MANAGER_PATH, MANAGER, "StopUnit", &error, &reply,
			       "ss", unit, "replace");
	/* A scope is gone by itself once its last process is. */
	if (r < 0 && sd_bus_error_has_name(&error, SERVICE ".NoSuchUnit"))
		return 0;
	if (r < 0)
		return bus_failed(&error, r, "stop the unit", err);
	r = wait_job(bus, &job, reply, err);
	reset_failed(bus, unit);
	return r;
}
