// A small Kubernetes cluster in one program: the control plane and the node, and what it takes to bring them up.
//
// Kubernetes' own programs run under their own names, as the first argument or as the name of a link to this program.
// The other commands make what a cluster needs before it starts, and wait until it does its work.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	_ "time/tzdata" // time zones of CronJobs

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/klog/v2"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// Kubernetes' programs.
var programs = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllers.NewControllerManagerCommand,
	"kube-proxy":              proxy.NewProxyCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubelet":                 kubeletCommand,
}

// Newer versions take a context.
func kubeletCommand() *cobra.Command {
	switch command := any(kubelet.NewKubeletCommand).(type) {
	case func(context.Context) *cobra.Command:
		return command(context.Background())
	case func() *cobra.Command:
		return command()
	default:
		panic("this version makes the kubelet in another way")
	}
}

// Our own commands.
var commands = map[string]func(arguments []string) error{
	"apply":   apply,
	"await":   await,
	"image":   image,
	"keys":    keys,
	"sweep":   sweep,
	"volumes": volumes,
}

const usage = `usage:
  cluster kube-apiserver|kube-controller-manager|kube-proxy|kube-scheduler|kubelet ...
      one of Kubernetes' programs
  cluster keys -dir DIR -node NAME -address ADDRESS -service-address ADDRESS
      makes certificates and kubeconfigs
  cluster image -name NAME -out TAR PROGRAM
      makes an image of one static program
  cluster apply -kubeconfig FILE OBJECTS
      makes the objects of a file
  cluster await -kubeconfig FILE [-run DIR] [-patience TIME] [-image NAME] api|node|metrics
      waits until the cluster does what it is for, and says why it does not
  cluster sweep -socket SOCKET
      removes every pod from the node
  cluster volumes -kubeconfig FILE -class NAME -node NAME -dir DIR
      makes volumes of a class, as folders of the node, until it is ended`

func main() {
	// A link to this program has the name of what it runs.
	arguments := os.Args
	if name := filepath.Base(os.Args[0]); programs[name] == nil && commands[name] == nil {
		arguments = os.Args[1:]
	}
	if len(arguments) == 0 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	name := filepath.Base(arguments[0])
	if program := programs[name]; program != nil {
		os.Args = arguments
		os.Exit(cli.Run(program()))
	}
	command := commands[name]
	if command == nil {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	// The library logs what it tries again; what matters comes back as an error.
	klog.SetLogger(logr.Discard())
	switch err := command(arguments[1:]); {
	case err == nil:
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "cluster "+name+":", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong arguments")
