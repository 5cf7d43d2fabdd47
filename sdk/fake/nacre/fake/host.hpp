// The fake host: every stable service of the contract, for one plugin at a time, without a guest.
//
// There is one to a process, since the contract's tables have no context of their own. What a plugin does wrong is
// noted, not fatal.
#pragma once

#include <nacre/abi/registry.h>

#include <nacre/fake/instance.hpp>
#include <set>
#include <string>
#include <vector>

namespace nacre::fake {

// What a plugin is greeted with. `without` names services that this host is to lack; each table that is given lies in
// memory of its own with poison behind its size. Lives as long as the process.
const nacre_host_hello* hello(const std::set<std::string>& without = {});

// [any] The services that have been asked for so far, known or not.
std::set<std::string> asked_for();
void forget_questions();
// [any] What was done against the rules of the contract, one sentence each.
std::vector<std::string> offences();
void offend(const std::string& sentence);
// The thread that the tables take for [main]: the one that called hello() first.
bool on_main_thread();

}  // namespace nacre::fake
