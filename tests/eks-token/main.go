// Command eks-token judges a token for an EKS cluster as the cluster's own authenticator does: it reads one from its standard
// input and prints, as one line of JSON, what was accepted or why it was refused.
//
//	eks-token -cluster NAME [-partition aws] [-region REGION] [-secret SECRET] <TOKEN
//
// Nothing is sent. What the authenticator would send to STS is answered here, as STS would: the signature is made again with the
// secret key, by the SDK for Go and over the request as the authenticator makes it, and has to be the same.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws/credentials"
	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"
	"sigs.k8s.io/aws-iam-authenticator/pkg/token"
)

// What STS is asked for carries the name of the cluster in this header.
const clusterHeader = "x-k8s-aws-id"

type verdict struct {
	Accepted bool `json:"accepted"`
	// Why it was refused.
	Reason string `json:"reason,omitempty"`
	// Whose token it is.
	AccessKeyID string `json:"access_key_id,omitempty"`
	// Where the authenticator would have asked; also where STS refused it.
	Host string `json:"host,omitempty"`
}

func main() {
	cluster := flag.String("cluster", "", "the cluster that is asked")
	partition := flag.String("partition", "aws", "the partition that the cluster is in")
	region := flag.String("region", "eu-west-1", "the region that the cluster is in")
	secret := flag.String("secret", "", "the secret key that the token has to be signed with")
	flag.Parse()
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "eks-token:", err)
		os.Exit(1)
	}
	sts := &sts{secret: *secret}
	// The authenticator's client has no transport of its own.
	http.DefaultTransport = sts
	identity, err := token.NewVerifier(*cluster, *partition, *region).Verify(strings.TrimSpace(string(input)))
	answer := verdict{Accepted: err == nil, Host: sts.host}
	if err != nil {
		answer.Reason = err.Error()
	} else {
		answer.AccessKeyID = identity.AccessKeyID
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		fmt.Fprintln(os.Stderr, "eks-token:", err)
		os.Exit(1)
	}
}

// sts stands in for the Security Token Service.
type sts struct {
	secret string
	host   string
}

func (s *sts) RoundTrip(request *http.Request) (*http.Response, error) {
	s.host = request.URL.Host
	if err := s.check(request); err != nil {
		return answer(request, http.StatusForbidden, err.Error()), nil
	}
	return answer(request, http.StatusOK, `{"GetCallerIdentityResponse": {"GetCallerIdentityResult": {"Account": "111122223333",
		"Arn": "arn:aws:iam::111122223333:user/test", "UserId": "AIDATEST"}, "ResponseMetadata": {"RequestId": "0"}}}`), nil
}

// check signs the request again.
func (s *sts) check(request *http.Request) error {
	query := request.URL.Query()
	scope := strings.Split(query.Get("X-Amz-Credential"), "/")
	if len(scope) != 5 {
		return fmt.Errorf("IncompleteSignature: the scope of the credential is %q", query.Get("X-Amz-Credential"))
	}
	moment, err := time.Parse("20060102T150405Z", query.Get("X-Amz-Date"))
	if err != nil {
		return err
	}
	expires, err := strconv.Atoi(query.Get("X-Amz-Expires"))
	if err != nil {
		return err
	}
	plain := url.Values{"Action": query["Action"], "Version": query["Version"]}
	again, err := http.NewRequest(request.Method, "https://"+request.URL.Host+"/?"+plain.Encode(), nil)
	if err != nil {
		return err
	}
	for _, header := range strings.Split(query.Get("X-Amz-SignedHeaders"), ";") {
		if header != "host" {
			again.Header[http.CanonicalHeaderKey(header)] = request.Header.Values(header)
		}
	}
	signer := v4.NewSigner(credentials.NewStaticCredentials(scope[0], s.secret, query.Get("X-Amz-Security-Token")))
	lifetime := time.Duration(expires) * time.Second
	if _, err := signer.Presign(again, nil, scope[3], scope[2], lifetime, moment); err != nil {
		return err
	}
	if again.URL.Query().Get("X-Amz-Signature") != query.Get("X-Amz-Signature") {
		return fmt.Errorf("SignatureDoesNotMatch: signed with another key, or for another cluster than %q", request.Header.Get(clusterHeader))
	}
	return nil
}

func answer(request *http.Request, status int, body string) *http.Response {
	return &http.Response{
		Status:     http.StatusText(status),
		StatusCode: status,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(body)),
		Request:    request,
	}
}
