// Memory kept for when the host has none left. What is made anew may be refused then; what is at work may not: an event
// of 200 bytes, a closing device's message or the answer to a client must never end the machine.
#pragma once

namespace nacre::memory_reserve {

// Takes the reserve, 480 KiB that nothing is written to, and has operator new fall back on it, in plugins too. Once,
// before other threads begin. A host that has not so much has it later, by restore().
void take();

// Takes again what was used of it; one load when nothing was. Returns whether half of it is there, without which
// nothing new should be made. Any thread.
bool restore();

}  // namespace nacre::memory_reserve
