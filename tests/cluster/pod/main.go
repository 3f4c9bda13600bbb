// The program of the cluster's own pods: without arguments it holds a pod's namespaces until it is told to end; with an
// address it answers there whether the pod finds and reaches others.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	if len(os.Args) > 1 {
		go func() {
			fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Args[1], http.HandlerFunc(answer)))
			os.Exit(1)
		}()
	}
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		// It is the first process of pods whose containers share their processes.
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

// answer says ok if every address of the query can be connected to, by name, from inside of the pod.
func answer(response http.ResponseWriter, request *http.Request) {
	for _, address := range request.URL.Query()["reach"] {
		connection, err := net.DialTimeout("tcp", address, 3*time.Second)
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadGateway)
			return
		}
		connection.Close()
	}
	fmt.Fprintln(response, "ok")
}
