-- Run once, when the server of compose.yaml is made: the queue has a database of its own.
CREATE DATABASE hhh_jobs;
