// Fake back ends, whatever their id: a disk in memory, a wire that gives back what is written to it or leads to a
// vhost-user back end, a NIC whose frames come back, a source of "random" bytes that are not.
#pragma once

#include <nacre/abi/registry.h>

#include <deque>
#include <list>
#include <memory>
#include <nacre/fake/vhost_user_peer.hpp>
#include <string>
#include <vector>

struct nacre_block {
  static constexpr uint64_t kCapacity = 1 << 20;
  nacre_instance* instance;
  nacre_block_completed completed;
  void* opaque;
  std::vector<uint8_t> content = std::vector<uint8_t>(kCapacity);
  std::vector<nacre_block_request*> done;  // and not told yet
  bool failing = false;                    // every request gets an error
};

struct nacre_chardev {
  nacre_instance* instance;
  nacre_chardev_events events;
  void* opaque;
  std::string input;                                 // for the device
  std::string output;                                // from it
  std::unique_ptr<nacre::fake::VhostUserPeer> peer;  // of a connected one
};

struct nacre_net {
  nacre_instance* instance;
  std::deque<std::vector<uint8_t>> frames;  // to the device
  int fd;                                   // an eventfd: written to when there is a frame
  nacre_callback announce = nullptr;        // what the device is to be told by
  void* announce_opaque = nullptr;
};

namespace nacre::fake {

struct BackEnds {
  std::list<nacre_block> blocks;
  std::list<nacre_chardev> chardevs;
  std::list<nacre_net> nets;
  int random = -1;
};

extern const nacre_block_v1 kBlock;
extern const nacre_chardev_v1 kChardev;
extern const nacre_net_v1 kNet;
extern const nacre_rng_v1 kRng;

}  // namespace nacre::fake
