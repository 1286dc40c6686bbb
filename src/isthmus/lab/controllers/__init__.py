"""The controllers of a lab cluster: what turns Deployments into pods and Services into endpoints."""
