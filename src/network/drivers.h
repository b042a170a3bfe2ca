/* The drivers that network_driver() chooses from. Private to src/network. */
#pragma once

#include "network/network.h"

extern const struct network_ops network_bridge, network_cni;
