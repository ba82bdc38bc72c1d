"""Execution environments in a cloud or cluster, all driven by one loop (`runner`, `handle`) over one protocol.

- `protocol`: the interface of a remote environment
- `runner`, `handle`: the loop: submits or adopts an execution, and follows it
- `calls`, `polling`, `log_following`: calls, status and log of an execution, through outages
- `response_validation`: validation of the answers of an environment
- `threaded_call`: a call that an interruption does not cut off
- `cloud_run`, `cloud_logging`, `read_quota`: Cloud Run, its log, and the quota of reads
- `dataproc`, `dataproc_cluster`, `driver_output`: Dataproc, the cluster of a run, and the output of drivers
- `dataproc_settings`, `kubernetes_settings`: validation of the settings of a table or task
- `gcp`: clients of Google Cloud
- `fargate`, `ecs_definition`: Fargate, and task definitions with secrets
- `aws`: clients of AWS
- `kubernetes`, `kubernetes_client`, `kubernetes_job`, `kubernetes_fields`, `kubernetes_schema`: Kubernetes: client,
  Job and fields
- `public_texts`: texts of a configuration that anyone who can view an execution can read
- `kubernetes_values`: values of fields, validated when definitions load
- `kubernetes_state`, `kubernetes_log`: state and log of a Job
"""
