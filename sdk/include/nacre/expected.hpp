// A value or an error: the shape of everything that can fail, on both sides of the plugin border.
#pragma once

#include <cstdlib>
#include <type_traits>
#include <utility>
#include <variant>

namespace nacre::sdk {

// Either a T or an E. Test it before use; reading the missing half ends the process.
template <typename T, typename E>
class [[nodiscard]] Expected {
 public:
  Expected(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: `return value;` is the point
  Expected(E error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: likewise
  // What turns into a T by itself does so on `return` as well. The constraint keeps copies and moves out.
  // NOLINTBEGIN(google-explicit-constructor, bugprone-forwarding-reference-overload)
  template <typename U>
  requires(std::is_convertible_v<U, T> && !std::is_convertible_v<U, E> &&
           !std::is_same_v<std::remove_cvref_t<U>, Expected> && !std::is_same_v<std::remove_cvref_t<U>, T>)
      Expected(U&& value)
      : state_(std::in_place_index<0>, std::forward<U>(value)) {}
  // NOLINTEND(google-explicit-constructor, bugprone-forwarding-reference-overload)

  explicit operator bool() const { return state_.index() == 0; }
  T& operator*() & { return checked(); }
  const T& operator*() const& { return const_cast<Expected*>(this)->checked(); }
  T&& operator*() && { return std::move(checked()); }
  T* operator->() { return &checked(); }
  const T* operator->() const { return &const_cast<Expected*>(this)->checked(); }
  const E& error() const {
    if (state_.index() != 1) std::abort();
    return *std::get_if<1>(&state_);
  }

 private:
  T& checked() {
    if (state_.index() != 0) std::abort();
    return *std::get_if<0>(&state_);
  }
  std::variant<T, E> state_;
};

// The same without a value.
template <typename E>
class [[nodiscard]] Expected<void, E> {
 public:
  Expected() = default;
  Expected(E error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: likewise

  explicit operator bool() const { return state_.index() == 0; }
  const E& error() const {
    if (state_.index() != 1) std::abort();
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<std::monostate, E> state_;
};

}  // namespace nacre::sdk
