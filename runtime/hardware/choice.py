"""Which kind of plan a model needs."""

from __future__ import annotations

from runtime.config import EngineConfig
from runtime.hardware.encoder_plan import plan_encoder
from runtime.hardware.ggml import card_backend
from runtime.hardware.onnx_plan import plan_onnx
from runtime.hardware.plan import Plan, plan
from runtime.hardware.probe import Machine, with_onnxruntime
from runtime.hardware.seq2seq_plan import plan_seq2seq
from runtime.models.encoding import Encoding
from runtime.models.header import ModelShape
from runtime.models.onnx_folder import OnnxFolder
from runtime.models.seq2seq import SEQ2SEQ


def device_of(plan: Plan) -> str:
    """What computes a model that is run so: "cpu", or the kind of card, such as "cuda", that has some of its layers."""
    if plan.provider is not None:
        return plan.provider
    return (card_backend() or "cpu").lower() if plan.gpu_layers else "cpu"


def plan_for_folder(machine: Machine, folder: OnnxFolder, limits: EngineConfig) -> Plan:
    """Decide how to run graphs; what onnxruntime has is read first, where `machine` does not tell.

    Raises:
        ConfigurationInvalid, ModelLoadFailed: as `plan_for`; or onnxruntime is not installed.
    """
    return plan_onnx(with_onnxruntime(machine), folder, limits)


def plan_for(machine: Machine, shape: ModelShape, limits: EngineConfig, encoding: Encoding | None) -> Plan:
    """Decide how to run a model of this shape, which makes vectors where it has an `encoding`.

    Raises:
        ConfigurationInvalid: a limit that nothing can keep.
        ModelLoadFailed: the machine cannot hold the model.
    """
    if encoding is not None:
        return plan_encoder(machine, shape, limits, encoding)
    return plan_seq2seq(machine, shape, limits) if shape.architecture in SEQ2SEQ else plan(machine, shape, limits)
