"""The ports to the AWS services other than DynamoDB, by resource, with their values. Imports ``domain`` only.

An adapter in ``cloud.aws`` implements each, and a fake of the tests. A table is no port: callers name its
class in ``cloud.tables``, and tests give that DynamoDB in memory.
"""
