/* Docker's inspect document of a container, member for member in Docker's order. */
#include <stdio.h>

#include "base/str.h"
#include "engine/config.h"
#include "engine/health.h"
#include "engine/inspect.h"
#include "engine/internal.h"
#include "engine/log_writer.h"
#include "exec/exec.h"
#include "sys/fs.h"
#include "volume/volume.h"

static int state_write(struct json_writer *w, struct arena *arena,
		       const struct container *container, struct masu_error *err)
{
	enum container_status status = container->status;
	bool running = status == CONTAINER_RUNNING || status == CONTAINER_PAUSED ||
		       status == CONTAINER_RESTARTING;
	json_key(w, "State");
	json_begin_object(w);
	json_field_string(w, "Status", container_status_name(status));
	json_field_bool(w, "Running", running);
	json_field_bool(w, "Paused", status == CONTAINER_PAUSED);
	json_field_bool(w, "Restarting", status == CONTAINER_RESTARTING);
	json_field_bool(w, "OOMKilled", container->oom_killed);
	json_field_bool(w, "Dead", status == CONTAINER_DEAD);
	json_field_i64(w, "Pid", running ? container->pid : 0);
	json_field_i64(w, "ExitCode", container->exit_code);
	json_field_string(w, "Error", container->error);
	json_field_string(w, "StartedAt", container->started);
	json_field_string(w, "FinishedAt", container->finished);
	int r = health_inspect(w, arena, container, err);
	json_end_object(w);
	return r;
}

static void file_path_write(struct json_writer *w, struct arena *arena, const char *key,
			    const struct engine *engine, const struct container *container,
			    const char *name)
{
	json_field_string(
		w, key,
		arena_printf(arena, "%s/containers/%s/%s", engine->root, container->id, name));
}

static void mount_point_write(struct json_writer *w, struct arena *arena,
			      const struct engine *engine, const struct mount_config *mount)
{
	static const char *const types[] = {
		[MOUNT_BIND] = "bind", [MOUNT_VOLUME] = "volume", [MOUNT_TMPFS] = "tmpfs"
	};
	const char *source = mount->source ? mount->source : "";
	char path[600] = "";
	json_begin_object(w);
	json_field_string(w, "Type", types[mount->kind]);
	if (mount->kind == MOUNT_VOLUME) {
		json_field_string(w, "Name", source);
		volume_data_path(source, path, sizeof(path));
		source = arena_printf(arena, "%s/%s", engine->root, path);
	}
	json_field_string(w, "Source", source);
	json_field_string(w, "Destination", mount->target);
	if (mount->kind == MOUNT_VOLUME)
		json_field_string(w, "Driver", "local");
	json_field_string(w, "Mode", mount->create_source && mount->readonly ? "ro" : "");
	json_field_bool(w, "RW", !mount->readonly);
	json_field_string(w, "Propagation",
			  mount->kind != MOUNT_BIND ? ""
			  : mount->propagation	    ? mount->propagation
						    : "rprivate");
	json_end_object(w);
}

static void mount_points_write(struct json_writer *w, struct arena *arena,
			       const struct engine *engine, const struct container *container)
{
	json_key(w, "Mounts");
	json_begin_array(w);
	for (size_t i = 0; i < container->config.mount_count; i++)
		if (!container->config.mounts[i].tmpfs_options)
			mount_point_write(w, arena, engine, &container->config.mounts[i]);
	json_end_array(w);
}

static void graph_driver_write(struct json_writer *w, struct arena *arena,
			       const struct engine *engine, const struct container *container)
{
	const struct storage_ops *ops = storage_driver(container->storage_driver);
	struct storage_paths paths = { 0 };
	json_key(w, "GraphDriver");
	json_begin_object(w);
	json_key(w, "Data");
	json_begin_object(w);
	if (ops && ops->paths &&
	    ops->paths(engine->root, container->id, container->chain_ids, arena, &paths) == 0) {
		json_field_string(w, "LowerDir", paths.lower);
		/* The mount is the container's own; this is where others see it. */
		json_field_string(
			w, "MergedDir",
			container->pid && container_is_alive(container)
				? arena_printf(arena, "/proc/%d/root", (int)container->pid)
				: "");
		json_field_string(w, "UpperDir", paths.upper);
		json_field_string(w, "WorkDir", paths.work);
	}
	json_end_object(w);
	json_field_string(w, "Name", container->storage_driver);
	json_end_object(w);
}

static int identity_write(struct json_writer *w, struct arena *arena,
			  const struct container *container, struct masu_error *err)
{
	json_field_string(w, "Id", container->id);
	json_field_string(w, "Created", container->created);
	json_field_string(w, "Path", container->args[0] ? container->args[0] : "");
	json_key(w, "Args");
	json_put_strings(w, container->args[0] ? container->args + 1 : container->args);
	int r = state_write(w, arena, container, err);
	json_field_string(w, "Image", container->image_id);
	return r;
}

/* Of a container that is a virtual machine; docker has no such member. */
static void acceleration_write(struct json_writer *w, const struct container *container)
{
	char text[32];
	if (exec_driver_bounds_memory(container->config.runtime) && container->run_fd >= 0 &&
	    fs_read_small(container->run_fd, "vm/accel", text, sizeof(text)) >= 0)
		json_field_string(w, "Acceleration", text);
}

int engine_inspect(struct engine *engine, struct arena *arena, const char *id,
		   struct json_writer *w, struct masu_error *err)
{
	struct container container;
	int r = engine_load(engine, arena, id, &container, err);
	if (r < 0)
		return r;
	json_begin_object(w);
	r = identity_write(w, arena, &container, err);
	file_path_write(w, arena, "ResolvConfPath", engine, &container, "resolv.conf");
	file_path_write(w, arena, "HostnamePath", engine, &container, "hostname");
	file_path_write(w, arena, "HostsPath", engine, &container, "hosts");
	json_field_string(w, "LogPath", container.log_path);
	if (log_dropped_read(&container)) /* docker has no such member */
		json_field_u64(w, "LogDropped", log_dropped_read(&container));
	json_key(w, "Name");
	json_put_string(w, arena_printf(arena, "/%s", container.name));
	json_field_i64(w, "RestartCount", container.restart_count);
	json_field_string(w, "Driver", container.storage_driver);
	acceleration_write(w, &container);
	json_field_string(w, "Platform", "linux");
	json_field_string(w, "MountLabel", "");
	json_field_string(w, "ProcessLabel", "");
	json_field_string(w, "AppArmorProfile", "");
	json_key(w, "ExecIDs");
	json_put_null(w);
	inspect_host_config_write(w, arena, &container);
	graph_driver_write(w, arena, engine, &container);
	mount_points_write(w, arena, engine, &container);
	inspect_config_write(w, arena, &container);
	inspect_network_settings_write(w, arena, &container);
	json_end_object(w);
	container_close(&container);
	return r;
}
