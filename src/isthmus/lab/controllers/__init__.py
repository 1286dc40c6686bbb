"""The controllers of a lab cluster: what turns Deployments into pods and Services into endpoints."""

from isthmus.lab.controllers.manager import run

__all__ = ["run"]
