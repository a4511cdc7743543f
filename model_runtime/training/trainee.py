"""What is trained, as one module: transformer, text encoder and, while speech is learned, the mask predictor."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers.models.umt5.modeling_umt5 import UMT5EncoderModel

from model_runtime.humo.transformer import HumoTransformer
from model_runtime.training.batches import Batch
from model_runtime.training.flow_matching import flow_loss
from model_runtime.training.focus import FocusPredictor, focus_loss
from model_runtime.training.freezing import freeze, freeze_all, mute, silence
from model_runtime.training.stage import Stage


class Losses(NamedTuple):
    """Scalars of one batch, float32."""

    total: Tensor
    flow: Tensor
    focus: Tensor
    """0 without a mask predictor."""


class Trainee(nn.Module):
    """One forward pass is one batch's losses, so that whatever wraps the module wraps all that is trained."""

    def __init__(
        self,
        transformer: HumoTransformer,
        text: UMT5EncoderModel,
        *,
        focus: FocusPredictor | None = None,
        focus_weight: float = 0.1,
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.text = text
        self.focus = focus
        self.focus_weight = focus_weight

    @classmethod
    def for_stage(
        cls,
        stage: Stage,
        transformer: HumoTransformer,
        text: UMT5EncoderModel,
        *,
        train_text: bool = False,
        focus_weight: float = 0.1,
        is_full: bool = False,
        seed: int = 0,
    ) -> Trainee:
        """The stage's trainee: frozen where it has to be, silent until speech is learned.

        Args:
            train_text: the base trains the text encoder too: for one that never read anything before.
            focus_weight: of the mask loss; 0 leaves the predictor out.
            is_full: every weight of the transformer is trained, not the stage's own alone.
            seed: of the mask predictor's first weights.
        """
        freeze(transformer, stage, is_full=is_full)
        freeze_all(text)
        if train_text and stage is Stage.BASE:
            text.requires_grad_()
        focus = None
        if stage.has_speech:
            if focus_weight:
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(seed)
                    focus = FocusPredictor(transformer)
        else:
            silence(transformer)
            mute(transformer)
        return cls(transformer, text, focus=focus, focus_weight=focus_weight)

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """What gradients reach, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def forward(self, batch: Batch) -> Losses:
        watching: AbstractContextManager[list[Tensor]]
        watching = nullcontext([]) if self.focus is None else self.focus.watching(self.transformer)
        with watching as states:
            predicted = self.transformer(
                latents=batch.latents,
                timestep=batch.timestep,
                text=self._states(batch),
                audio=batch.audio,
                condition=batch.condition,
            )
        flow = flow_loss(predicted, batch.target, batch.weight)
        if self.focus is None:
            return Losses(total=flow, flow=flow, focus=flow.new_zeros(()))
        slots, rows, columns = batch.latents.shape[2:]
        logits = self.focus(states, slots=slots, rows=rows, columns=columns)
        focus = focus_loss(logits[:, : batch.face.shape[1]], batch.face)
        return Losses(total=flow + self.focus_weight * focus, flow=flow, focus=focus)

    def _states(self, batch: Batch) -> Tensor:
        """[B, tokens, text_dim]; rows behind a text's end are zero, as the transformer itself pads them."""
        states: Tensor = self.text(input_ids=batch.tokens, attention_mask=batch.is_token.long()).last_hidden_state
        return states * batch.is_token[..., None]
