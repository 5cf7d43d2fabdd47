#include "url.hpp"

#include <algorithm>

namespace http_disk {
namespace {

using nacre::sdk::fail;
using nacre::sdk::Result;

constexpr std::string_view kShape = "; write http://HOST[:PORT]/PATH.";

bool is_port(const std::string& text) {
  const bool digits = !text.empty() && text.size() <= 5 &&
                      std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= '0' && c <= '9'; });
  return digits && std::stoi(text) >= 1 && std::stoi(text) <= 65535;
}

}  // namespace

Result<Url> Url::parse(const std::string& text) {
  constexpr std::string_view scheme = "http://";
  if (text.rfind("https://", 0) == 0)
    return fail("url '", text, "' asks for encryption, which http-disk does not have", kShape);
  if (text.rfind(scheme, 0) != 0) return fail("url '", text, "' does not begin with http://", kShape);
  // Nothing that could end a line of the request.
  if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' ' || c >= 0x7f; }))
    return fail("url '", text, "' has characters that must be written as %XX", kShape);
  const size_t slash = text.find('/', scheme.size());
  if (slash == std::string::npos || slash + 1 == text.size()) return fail("url '", text, "' names no file", kShape);

  Url url{.path = text.substr(slash), .text = text};
  std::string place = text.substr(scheme.size(), slash - scheme.size());
  if (place.find('@') != std::string::npos)
    return fail("url '", text, "' has a user name, which http-disk cannot give", kShape);
  url.port = "80";
  const size_t bracket = place.rfind(']');
  const size_t colon = place.find(':', bracket == std::string::npos ? 0 : bracket);
  if (colon != std::string::npos) {
    url.port = place.substr(colon + 1);
    if (!is_port(url.port))
      return fail("url '", text, "' has the port '", url.port, "', which is none of 1 to 65535", kShape);
    place.resize(colon);
  }
  url.host =
      place.size() > 2 && place.front() == '[' && place.back() == ']' ? place.substr(1, place.size() - 2) : place;
  if (url.host.empty()) return fail("url '", text, "' names no host", kShape);
  return url;
}

std::string Url::authority() const {
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return name + ":" + port;
}

}  // namespace http_disk
