// kube-router's firewall for NetworkPolicies, without its router, its service proxy, and what these bring.
package main

import (
	"flag"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"github.com/spf13/pflag"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

func main() {
	klog.InitFlags(nil)
	config := options.NewKubeRouterConfig()
	config.AddFlags(pflag.CommandLine)
	pflag.Parse()
	must(flag.Set("logtostderr", "true"))
	must(flag.Set("v", config.VLevel))

	stop := make(chan struct{})
	client := connect(config)
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods().Informer()
	namespaces := factory.Core().V1().Namespaces().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	factory.Start(stop)
	factory.WaitForCacheSync(stop)

	tables, sets, err := netpol.NewIPTablesHandlers(config)
	must(err)
	var running sync.WaitGroup
	var mutex sync.Mutex
	firewall, err := netpol.NewNetworkPolicyController(client, config, pods, policies, namespaces, &mutex, tables, sets)
	must(err)
	for informer, handler := range map[cache.SharedIndexInformer]cache.ResourceEventHandler{
		pods:       firewall.PodEventHandler,
		namespaces: firewall.NamespaceEventHandler,
		policies:   firewall.NetworkPolicyEventHandler,
	} {
		_, err := informer.AddEventHandler(handler)
		must(err)
	}
	heartbeats := make(chan *healthcheck.ControllerHeartbeat, 10)
	go func() {
		for range heartbeats { // its firewall must not block for a health check that no one asks for
		}
	}()
	running.Add(1)
	go firewall.Run(heartbeats, stop, &running)

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
	close(stop)
	running.Wait()
}

func connect(config *options.KubeRouterConfig) kubernetes.Interface {
	kubeconfig, err := clientcmd.BuildConfigFromFlags(config.Master, config.Kubeconfig)
	must(err)
	client, err := kubernetes.NewForConfig(kubeconfig)
	must(err)
	return client
}

func must(err error) {
	if err != nil {
		klog.Fatal(err)
	}
}
