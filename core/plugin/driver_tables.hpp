// Which functions the table of a back end may not lack.
#pragma once

#include <nacre/abi/block_driver.h>
#include <nacre/abi/chardev_driver.h>
#include <nacre/abi/entry.h>
#include <nacre/abi/net_driver.h>

#include <algorithm>
#include <cstring>

namespace nacre {

inline bool is_complete(const nacre_block_driver_ops& ops) {
  return ops.create && ops.destroy && ops.open && ops.close && ops.info && ops.submit;
}
inline bool is_complete(const nacre_chardev_driver_ops& ops) {
  return ops.create && ops.destroy && ops.open && ops.close && ops.read && ops.write;
}
inline bool is_complete(const nacre_net_driver_ops& ops) {
  return ops.create && ops.destroy && ops.open && ops.close && ops.info && ops.fd && ops.receive && ops.send;
}

// The table of a type as the host knows it: functions that the plugin's SDK did not have are NULL.
template <typename Ops>
Ops table_of(const nacre_type& type) {
  Ops ops{};
  if (const auto* table = static_cast<const Ops*>(type.ops))
    std::memcpy(&ops, table, std::min<size_t>(table->size, sizeof ops));
  return ops;
}

}  // namespace nacre
