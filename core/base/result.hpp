// Errors as values: what an operation that can fail returns.
#pragma once

#include <fmt/format.h>

#include <nacre/expected.hpp>
#include <string>
#include <utility>

namespace nacre {

// The class of an error, as a QMP client sees it.
enum class ErrorClass {
  Generic,
  CommandNotFound,
  DeviceNotFound,
  DeviceNotActive,
  Throttled,
};

// One error: a class for programs and a sentence for people (what is wrong, why, what to do about it).
struct Error {
  std::string message;
  ErrorClass kind = ErrorClass::Generic;
};

template <typename T>
using Result = sdk::Expected<T, Error>;
using Status = Result<void>;

// Makes an error from a format string: `return fail("cannot open '{}': {}", path, reason);`
template <typename... Args>
[[nodiscard]] Error fail(fmt::format_string<Args...> format, Args&&... args) {
  return Error{fmt::format(format, std::forward<Args>(args)...)};
}

}  // namespace nacre
