package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	watchtools "k8s.io/client-go/tools/watch"
)

const (
	pause = 100 * time.Millisecond
	// The system's namespace and the objects of the check in it.
	system = "kube-system"
	check  = "cluster-check"
	// How many lines of a log are shown when something fails, and how much of each.
	shown = 20
	width = 300
)

var apiServices = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}

type cluster struct {
	config *rest.Config
	client *kubernetes.Clientset
	// The folder of the process ids and logs of the cluster's programs, if they run here.
	run string
	// How long each of the things that are awaited may take.
	patience time.Duration
}

// flagsOf reads what every command needs that talks to the cluster, and what the command names besides.
func flagsOf(name string, arguments []string, more func(*flag.FlagSet)) (*cluster, []string, error) {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "who to be, and where")
	run := flags.String("run", "", "the folder of the cluster's process ids and logs")
	// A busy machine needs many times what an idle one does.
	patience := flags.Duration("patience", 2*time.Minute, "how long each of the things that are awaited may take")
	more(flags)
	if err := flags.Parse(arguments); err != nil || *kubeconfig == "" {
		return nil, nil, errUsage
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return nil, nil, err
	}
	// A few hundred requests at once are nothing to a server on the same machine.
	config.QPS, config.Burst = 200, 400
	client, err := kubernetes.NewForConfig(config)
	return &cluster{config, client, *run, *patience}, flags.Args(), err
}

// await waits until the cluster does what it is for, in the order in which that becomes true:
//
//	api      the API server is ready
//	node     the node is ready, and a pod of the given image is reached through its service, and reaches others by name
//	metrics  the server of metrics takes part in the API
func await(arguments []string) error {
	var image string
	cluster, rest, err := flagsOf("await", arguments, func(flags *flag.FlagSet) {
		flags.StringVar(&image, "image", "", "the image of the pod that is tried")
	})
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return errUsage
	}
	switch rest[0] {
	case "api":
		return cluster.until("kube-apiserver", "the API server is ready", cluster.apiReady)
	case "node":
		return cluster.node(image)
	case "metrics":
		return cluster.until("metrics-server", "the metrics are a part of the API", cluster.metricsAvailable)
	default:
		return errUsage
	}
}

// apply makes the objects of a file, or makes them as the file says.
func apply(arguments []string) error {
	cluster, rest, err := flagsOf("apply", arguments, func(*flag.FlagSet) {})
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return errUsage
	}
	text, err := os.ReadFile(rest[0])
	if err != nil {
		return err
	}
	groups, err := restmapper.GetAPIGroupResources(cluster.client.Discovery())
	if err != nil {
		return err
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	objects, err := dynamic.NewForConfig(cluster.config)
	if err != nil {
		return err
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", rest[0], err)
		}
		kind := object.GroupVersionKind()
		mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return err
		}
		options := meta.ApplyOptions{FieldManager: "straddle-cluster", Force: true}
		if _, err := objects.Resource(mapping.Resource).Namespace(object.GetNamespace()).
			Apply(context.Background(), object.GetName(), object, options); err != nil {
			return fmt.Errorf("%s %s: %w", kind.Kind, object.GetName(), err)
		}
	}
}

// until waits for a condition that a program is to bring about; if that fails, the end of the program's log says why.
//
// It fails at once if one of the cluster's programs has ended.
func (c *cluster) until(program, what string, condition func(context.Context) error) error {
	ctx, stop := context.WithTimeoutCause(context.Background(), c.patience, fmt.Errorf("not within %s", c.patience))
	defer stop()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	ended := make(chan string, 1)
	go func() {
		for ctx.Err() == nil {
			if name := c.ended(); name != "" {
				ended <- name
				end(errors.New(name + " has ended"))
				return
			}
			time.Sleep(pause)
		}
	}()
	err := condition(ctx)
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("%w; last: %w", cause, err)
	}
	select {
	case program = <-ended:
	default:
	}
	return fmt.Errorf("awaited that %s: %w%s", what, err, c.logEnd(program))
}

// ended names a program of the cluster that does not run any more.
func (c *cluster) ended() string {
	files, _ := filepath.Glob(filepath.Join(c.run, "*.pid"))
	for _, file := range files {
		pid, err := os.ReadFile(file)
		if err != nil || len(pid) == 0 {
			continue // just started, or just stopped
		}
		// One that ended may be listed until somebody asks what became of it.
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return strings.TrimSuffix(filepath.Base(file), ".pid")
		}
	}
	return ""
}

func (c *cluster) logEnd(program string) string {
	path := filepath.Join(c.run, "log", program+".log")
	text, err := os.ReadFile(path)
	if c.run == "" || err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	said := "\nthe end of " + path + ":"
	for _, line := range lines[max(0, len(lines)-shown):] {
		said += "\n  | " + line[:min(len(line), width)]
	}
	return said
}

// again tries until it succeeds or the time is over, and returns the last error.
func again(ctx context.Context, try func(context.Context) error) error {
	var last error
	for {
		if err := try(ctx); err == nil {
			return nil
		} else if last == nil || ctx.Err() == nil {
			last = err // an attempt that was cut short says less than the one before
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(pause):
		}
	}
}

func (c *cluster) apiReady(ctx context.Context) error {
	return again(ctx, func(ctx context.Context) error {
		_, err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").Timeout(5 * time.Second).DoRaw(ctx)
		return err
	})
}

func (c *cluster) node(image string) error {
	if err := c.until("kubelet", "a node is ready", func(ctx context.Context) error {
		_, err := watchtools.UntilWithSync(ctx, c.watched("nodes", "", ""), &core.Node{}, nil, func(event watch.Event) (bool, error) {
			node, ok := event.Object.(*core.Node)
			return ok && ready(node) && len(node.Spec.Taints) == 0, nil
		})
		return err
	}); err != nil {
		return err
	}
	// Without its account no pod is accepted.
	if err := c.until("kube-controller-manager", "a namespace gets its account", func(ctx context.Context) error {
		return again(ctx, func(ctx context.Context) error {
			_, err := c.client.CoreV1().ServiceAccounts(system).Get(ctx, "default", meta.GetOptions{})
			return err
		})
	}); err != nil {
		return err
	}
	err := c.tried(image)
	return errors.Join(err, c.clean())
}

// tried runs a pod behind a service, and asks it whether it reaches itself and the API server by their names.
func (c *cluster) tried(image string) error {
	ctx, stop := context.WithTimeout(context.Background(), c.patience)
	defer stop()
	if err := c.clean(); err != nil {
		return err
	}
	labels, no, second := map[string]string{"app": check}, false, int64(1)
	service, err := c.client.CoreV1().Services(system).Create(ctx, &core.Service{
		ObjectMeta: meta.ObjectMeta{Name: check},
		Spec:       core.ServiceSpec{Selector: labels, Ports: []core.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}, meta.CreateOptions{})
	if err != nil {
		return err
	}
	if _, err := c.client.CoreV1().Pods(system).Create(ctx, &core.Pod{
		ObjectMeta: meta.ObjectMeta{Name: check, Labels: labels},
		Spec: core.PodSpec{
			AutomountServiceAccountToken:  &no,
			TerminationGracePeriodSeconds: &second,
			Containers:                    []core.Container{{Name: check, Image: image, ImagePullPolicy: core.PullNever, Args: []string{":8080"}}},
		},
	}, meta.CreateOptions{}); err != nil {
		return err
	}
	if err := c.until("kubelet", "a pod runs", func(ctx context.Context) error {
		var seen string
		_, err := watchtools.UntilWithSync(ctx, c.watched("pods", system, check), &core.Pod{}, nil, func(event watch.Event) (bool, error) {
			pod, ok := event.Object.(*core.Pod)
			if ok {
				seen = string(pod.Status.Phase)
				for _, container := range pod.Status.ContainerStatuses {
					if container.State.Waiting != nil {
						seen = container.State.Waiting.Reason + " " + container.State.Waiting.Message
					}
				}
			}
			return ok && pod.Status.Phase == core.PodRunning, nil
		})
		if err != nil {
			err = fmt.Errorf("the pod is %s: %w", seen, err)
		}
		return err
	}); err != nil {
		return err
	}
	if err := c.until("kube-proxy", "a pod answers through its service", func(ctx context.Context) error {
		return again(ctx, func(ctx context.Context) error { return ask(ctx, service.Spec.ClusterIP) })
	}); err != nil {
		return err
	}
	// Its bare name would be its own, without asking anybody.
	return c.until("coredns", "a pod reaches services by their names", func(ctx context.Context) error {
		return again(ctx, func(ctx context.Context) error {
			return ask(ctx, service.Spec.ClusterIP, check+"."+system+":80", "kubernetes.default.svc.cluster.local:443")
		})
	})
}

// clean removes what the trial made.
func (c *cluster) clean() error {
	now := int64(0)
	for _, err := range []error{
		c.client.CoreV1().Services(system).Delete(context.Background(), check, meta.DeleteOptions{}),
		c.client.CoreV1().Pods(system).Delete(context.Background(), check, meta.DeleteOptions{GracePeriodSeconds: &now}),
	} {
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

func (c *cluster) metricsAvailable(ctx context.Context) error {
	objects, err := dynamic.NewForConfig(c.config)
	if err != nil {
		return err
	}
	return again(ctx, func(ctx context.Context) error {
		service, err := objects.Resource(apiServices).Get(ctx, "v1beta1.metrics.k8s.io", meta.GetOptions{})
		if err != nil {
			return err
		}
		conditions, _, err := unstructured.NestedSlice(service.Object, "status", "conditions")
		if err != nil {
			return err
		}
		said := "nothing yet"
		for _, condition := range conditions {
			if fields, ok := condition.(map[string]any); ok && fields["type"] == "Available" {
				if fields["status"] == "True" {
					return nil
				}
				said = fmt.Sprint(fields["message"])
			}
		}
		return fmt.Errorf("the API server says: %s", said)
	})
}

// watched lists and watches objects of a kind, or the one of a name.
func (c *cluster) watched(resource, namespace, name string) cache.ListerWatcher {
	selector := fields.Everything()
	if name != "" {
		selector = fields.OneTermEqualSelector("metadata.name", name)
	}
	return cache.NewListWatchFromClient(c.client.CoreV1().RESTClient(), resource, namespace, selector)
}

func ready(node *core.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == core.NodeReady {
			return condition.Status == core.ConditionTrue
		}
	}
	return false
}

// ask asks the pod of the trial whether it reaches addresses.
func ask(ctx context.Context, host string, reach ...string) error {
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/?"+url.Values{"reach": reach}.Encode(), nil)
	if err != nil {
		return err
	}
	// Neither a proxy of the surroundings nor a connection from before.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil {
		return err
	} else if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the pod says: %s", bytes.TrimSpace(body))
	}
	return nil
}
