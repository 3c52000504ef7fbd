"""Outputs of ab 2.3, wrk 4.1.0 and iperf3 3.12 as they were; of iperf3's JSON the end."""

AB = """\
This is ApacheBench, Version 2.3 <$Revision$>
Copyright 1996 Adam Twiss, Zeus Technology Ltd, http://www.zeustech.net/
Licensed to The Apache Software Foundation, http://www.apache.org/

Benchmarking 10.80.0.1 (be patient)...Percentage served,Time in ms
0,0.115
1,0.610
49,2.221
50,2.242
51,2.260
98,4.597
99,5.042
100,8.227
..done


Server Software:        nginx/1.22.1
Server Hostname:        10.80.0.1
Server Port:            80

Document Path:          /1KB
Document Length:        1024 bytes

Concurrency Level:      20
Time taken for tests:   1.002 seconds
Complete requests:      8502
Failed requests:        0
Total transferred:      10984584 bytes
HTML transferred:       8706048 bytes
Requests per second:    8486.34 [#/sec] (mean)
Time per request:       2.357 [ms] (mean)
Time per request:       0.118 [ms] (mean, across all concurrent requests)
Transfer rate:          10707.38 [Kbytes/sec] received

Connection Times (ms)
              min  mean[+/-sd] median   max
Connect:        0    1   0.5      1       5
Processing:     0    2   0.8      2       7
Waiting:        0    1   0.7      1       7
Total:          0    2   0.9      2       8

Percentage of the requests served within a certain time (ms)
  50%      2
  66%      3
  75%      3
  80%      3
  90%      3
  95%      4
  98%      5
  99%      5
 100%      8 (longest request)
"""

WRK = """\
Running 1s test @ http://10.80.0.1/1KB
  1 threads and 20 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.47ms    4.15ms  45.98ms   97.67%
    Req/Sec    20.51k     1.34k   22.84k    72.73%
  22471 requests in 1.10s, 27.79MB read
Requests/sec:  20414.88
Transfer/sec:     25.25MB
"""

IPERF = """\
{
	"start":	{
		"version":	"iperf 3.12",
		"sock_bufsize":	0
	},
	"intervals":	[],
	"end":	{
		"sum_sent":	{
			"start":	0,
			"end":	1.007512,
			"seconds":	1.007512,
			"bytes":	1441005568,
			"bits_per_second":	11442091552.259428,
			"retransmits":	142,
			"sender":	true
		},
		"sum_received":	{
			"start":	0,
			"end":	1.011228,
			"seconds":	1.011228,
			"bytes":	1435762688,
			"bits_per_second":	11358567508.019951,
			"sender":	true
		},
		"sender_tcp_congestion":	"bbr",
		"receiver_tcp_congestion":	"bbr"
	}
}
"""

IPERF_REFUSED = """\
{
	"start":	{
		"connected":	[],
		"version":	"iperf 3.12"
	},
	"intervals":	[],
	"end":	{
	},
	"error":	"unable to connect to server: Connection refused"
}
"""
