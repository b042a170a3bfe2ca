/* Capability sets of the calling thread (capabilities(7)), by raw system calls. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "oci/runtime_spec.h"

/* The caller's permitted set. */
int caps_permitted(uint64_t *ret);
/* The caller's bounding set; the kernel's last capability ends it. */
uint64_t caps_bounding(void);

/*
 * Reduces what is asked for to what the caller can grant: bounding by its bounding set, the others
 * by the result; ambient to what is permitted and inheritable. What this host cannot grant is
 * logged as a warning naming it (config.md: such a value must not fail the container).
 */
void caps_clamp(struct oci_capabilities *caps);

/* Drops every capability that is not in @keep from the bounding set. */
int caps_drop_bounding(uint64_t keep, struct masu_error *err);

/* capset(2); every set within the permitted one. */
int caps_set(uint64_t effective, uint64_t permitted, uint64_t inheritable, struct masu_error *err);

/* Makes @ambient the ambient set. */
int caps_set_ambient(uint64_t ambient, struct masu_error *err);
