// Where the image is: http://HOST[:PORT]/PATH.
#pragma once

#include <nacre/result.hpp>
#include <string>

namespace http_disk {

struct Url {
  std::string host;  // without the brackets of an IPv6 address
  std::string port;
  std::string path;  // begins with '/'
  std::string text;  // as the user wrote it

  // Says in words what is wrong with another text.
  static nacre::sdk::Result<Url> parse(const std::string& text);
  // For the Host header.
  std::string authority() const;
};

}  // namespace http_disk
