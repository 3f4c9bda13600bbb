package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// sweep removes every pod from the node, with its containers and its network: what a node loses when it dies.
//
// A kubelet that runs makes those anew that the cluster wants; without one this cleans up.
func sweep(arguments []string) error {
	flags := flag.NewFlagSet("sweep", flag.ContinueOnError)
	socket := flags.String("socket", "", "the socket of the container runtime")
	if err := flags.Parse(arguments); err != nil {
		return errUsage
	}
	if *socket == "" || flags.NArg() > 0 {
		return errUsage
	}
	connection, err := grpc.NewClient("unix://"+*socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	runtime := cri.NewRuntimeServiceClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	listed, err := runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return err
	}

	failures := make([]error, len(listed.Items))
	var running sync.WaitGroup
	for index, pod := range listed.Items {
		running.Go(func() {
			_, err := runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: pod.Id})
			if err == nil {
				_, err = runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: pod.Id})
			}
			if err != nil {
				failures[index] = fmt.Errorf("pod %s/%s: %w", pod.GetMetadata().GetNamespace(), pod.GetMetadata().GetName(), err)
			}
		})
	}
	running.Wait()
	return errors.Join(failures...)
}
