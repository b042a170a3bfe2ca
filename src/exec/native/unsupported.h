/* What a spec may ask for and this driver refuses by name. */
#pragma once

#include "base/error.h"
#include "oci/runtime_spec.h"

int unsupported_check(const struct oci_spec *spec, struct masu_error *err);
