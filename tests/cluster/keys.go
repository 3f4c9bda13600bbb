package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// A test cluster is started anew long before its certificates end.
const validity = 90 * 24 * time.Hour

// Who talks to the API server, each with a kubeconfig of its own.
func users(node string) map[string]pkix.Name {
	return map[string]pkix.Name{
		"admin":                   {CommonName: "admin", Organization: []string{"system:masters"}},
		"coredns":                 {CommonName: "coredns", Organization: []string{"system:masters"}},
		"metrics-server":          {CommonName: "metrics-server", Organization: []string{"system:masters"}},
		"kube-controller-manager": {CommonName: "system:kube-controller-manager"},
		"kube-proxy":              {CommonName: "system:kube-proxy"},
		"kube-scheduler":          {CommonName: "system:kube-scheduler"},
		"kubelet":                 {CommonName: "system:node:" + node, Organization: []string{"system:nodes"}},
	}
}

// keys writes into a folder: two authorities, the certificates of servers and of the API server as a client, the key
// that signs tokens of service accounts, and a kubeconfig for everybody who talks to the API server.
func keys(arguments []string) error {
	flags := flag.NewFlagSet("keys", flag.ContinueOnError)
	dir := flags.String("dir", "", "the folder")
	node := flags.String("node", "", "the name of the node")
	address := flags.String("address", "", "the address of the API server and of the node")
	service := flags.String("service-address", "", "the address of the service of the API server")
	if err := flags.Parse(arguments); err != nil {
		return errUsage
	}
	own, inside := net.ParseIP(*address), net.ParseIP(*service)
	if *dir == "" || *node == "" || own == nil || inside == nil || flags.NArg() > 0 {
		return errUsage
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return err
	}

	ca, err := newAuthority("cluster")
	if err != nil {
		return err
	}
	front, err := newAuthority("front-proxy")
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(*dir, "ca.crt"), "CERTIFICATE", ca.certificate.Raw); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(*dir, "front-proxy-ca.crt"), "CERTIFICATE", front.certificate.Raw); err != nil {
		return err
	}
	// The controllers sign what is asked of them through the API.
	if err := writeKey(filepath.Join(*dir, "ca.key"), ca.key); err != nil {
		return err
	}
	signer, err := newKey()
	if err != nil {
		return err
	}
	if err := writeKey(filepath.Join(*dir, "service-accounts.key"), signer); err != nil {
		return err
	}

	for _, wanted := range []struct {
		name    string
		from    *authority
		subject pkix.Name
		names   []string
		ips     []net.IP
	}{
		{
			"apiserver", ca, pkix.Name{CommonName: "kube-apiserver"},
			[]string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"},
			[]net.IP{own, inside},
		},
		{"kubelet", ca, pkix.Name{CommonName: *node}, []string{*node}, []net.IP{own}},
		{"etcd", ca, pkix.Name{CommonName: "etcd"}, nil, []net.IP{own}},
		// The API server as a client: of etcd, of the kubelet, of the servers behind it.
		{"apiserver-etcd", ca, pkix.Name{CommonName: "apiserver-etcd"}, nil, nil},
		{"apiserver-kubelet", ca, pkix.Name{CommonName: "apiserver-kubelet", Organization: []string{"system:masters"}}, nil, nil},
		{"front-proxy", front, pkix.Name{CommonName: "front-proxy"}, nil, nil},
	} {
		der, key, err := wanted.from.issue(wanted.subject, wanted.names, wanted.ips)
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(*dir, wanted.name+".crt"), "CERTIFICATE", der); err != nil {
			return err
		}
		if err := writeKey(filepath.Join(*dir, wanted.name+".key"), key); err != nil {
			return err
		}
	}

	server := fmt.Sprintf("https://%s", net.JoinHostPort(*address, "6443"))
	for name, subject := range users(*node) {
		der, key, err := ca.issue(subject, nil, nil)
		if err != nil {
			return err
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		config := clientcmdapi.NewConfig()
		config.Clusters["straddle"] = &clientcmdapi.Cluster{
			Server:                   server,
			CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.certificate.Raw}),
		}
		config.AuthInfos[name] = &clientcmdapi.AuthInfo{
			ClientCertificateData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
			ClientKeyData:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		}
		config.Contexts["straddle"] = &clientcmdapi.Context{Cluster: "straddle", AuthInfo: name}
		config.CurrentContext = "straddle"
		if err := clientcmd.WriteToFile(*config, filepath.Join(*dir, name+".kubeconfig")); err != nil {
			return err
		}
	}
	return nil
}

type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(name string) (*authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "straddle-" + name},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := sign(template, template, key, key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{certificate, key}, nil
}

// issue makes a certificate for a client, and for a server if that has names or addresses.
func (a *authority) issue(subject pkix.Name, names []string, ips []net.IP) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		Subject:     subject,
		DNSNames:    names,
		IPAddresses: ips,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := sign(template, a.certificate, key, a.key)
	return der, key, err
}

func sign(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	// Clocks of machines differ.
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(validity)
	return x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
}

func newKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	// The API server reads the public key of tokens from this file too, and knows this form of it.
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writeFile(path, "EC PRIVATE KEY", der)
}

func writeFile(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
