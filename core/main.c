/* The program: everything is in app/cli.c. */
#include "app/cli.h"

int main(int argc, char **argv) {
  return tg_cli_main(argc, argv);
}
