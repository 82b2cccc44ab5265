// Command postern is the outbound mail gateway: one binary that serves, and that operates what serves. `postern help` lists
// what it does.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"postern/internal/cli"
)

// version is set by the build (make build).
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	code := cli.Main(ctx, cli.Process{Args: os.Args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Env: os.LookupEnv, Hangup: hangup, Version: version})
	stop()
	os.Exit(code)
}
