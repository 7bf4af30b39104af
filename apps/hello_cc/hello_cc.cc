// Greets, and says what it runs on.

#include <sys/utsname.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>

// The first line of a file among the program's runfiles, which lie where RUNFILES_DIR says.
static std::string greeting() {
  const char* runfiles = std::getenv("RUNFILES_DIR");
  std::ifstream file(std::string(runfiles ? runfiles : ".") + "/_main/apps/hello_cc/greeting.txt");
  std::string line;
  return std::getline(file, line) ? line : "(no greeting among the runfiles)";
}

int main(int argc, char** argv) {
  utsname machine;
  if (uname(&machine) != 0) {
    std::cerr << "cannot tell the machine's architecture\n";
    return 1;
  }
  std::cout << greeting() << ", " << (argc > 1 ? argv[1] : "world") << "!\n"
            << "architecture: " << machine.machine << "\n";
}
