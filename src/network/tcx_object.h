/* Loads the BPF programs of libexec/masu/tcx.bpf.o. Private to src/network. */
#pragma once

#include "base/error.h"

enum tcx_map {
	TCX_PORTS,
	TCX_HOSTS,
	TCX_FLOWS,
	TCX_PARTS,
	TCX_SETUP,
	TCX_WORK,
	TCX_NEAR,
	TCX_SEEN,
	TCX_MAPS
};
extern const char *const tcx_map_names[TCX_MAPS];

enum tcx_program { TCX_IN, TCX_IN_RAW, TCX_OUT, TCX_OUT_RAW, TCX_LO, TCX_BRIDGE, TCX_PROGRAMS };
extern const char *const tcx_program_names[TCX_PROGRAMS];

struct tcx_object {
	int maps[TCX_MAPS], programs[TCX_PROGRAMS];
};

/* All maps, empty, and the programs whose bits (1 << TCX_IN …) are in @wanted, attached nowhere;
 * -1 instead of the others. @directory: of the libexec programs. */
int tcx_object_load(const char *directory, unsigned wanted, struct tcx_object *ret,
		    struct masu_error *err);
void tcx_object_close(struct tcx_object *object);
#define _cleanup_tcx_object_ __attribute__((cleanup(tcx_object_close)))
